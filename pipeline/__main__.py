"""``coldframe``, and ``python -m pipeline``, which does the same."""

import os
import sys

# `python -m` and an empty entry of PYTHONPATH put the working folder first, and a stranger's modules may be there. Until it is
# removed, import only what Python has already loaded, and our own modules from this folder.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from store.importing import command, is_named_by_module, keep_children_out, without_working_folder

sys.path[:] = without_working_folder(sys.path[1:])


def main() -> None:
    """The ``coldframe`` command."""
    keep_children_out(os.environ)
    try:
        if "sql" in sys.argv[1:]:
            from store import asking

            asking.start()  # the process that answers gets ready while this one reads its options
        from pipeline.cli.app import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    if is_named_by_module(sys.orig_argv):
        os.execv(sys.executable, [*command("pipeline"), *sys.argv[1:]])
    main()
