"""Where our Python processes begin: ``python -P …/store/begin.py MODULE [ARGUMENT...]`` runs a module of ours as a program.

A process is started with the full path of this file and neither with ``-m`` nor with ``-c``: TensorFlow takes the first word of
the command line for the program's place and loads libraries from below it, which would be a place in the working folder.
"""

import os
import sys


def main() -> None:
    """Run the module that the command line names, which imports nothing from the working folder."""
    from store.importing import without_working_folder

    sys.path[:] = without_working_folder(sys.path[1:])
    import runpy

    sys.argv[:] = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def work() -> None:
    """Be a worker, with the places to import from that it is given."""
    descriptor, line, memory, *places = sys.argv[2:]
    sys.path[:] = places
    from store.worker import answer_parent

    answer_parent(int(descriptor), int(line), int(memory) if memory else None)


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        work()
    else:
        sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        main()
