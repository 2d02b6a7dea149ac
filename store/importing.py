"""Where our processes import from: never the working folder, which may hold a stranger's files.

It is imported while that folder may still be on the path, so it imports nothing that Python has not loaded at its start.
"""

import os
import site
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

HOME = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # the folder that holds our packages
BEGIN = os.path.join(HOME, "store", "begin.py")


def without_working_folder(path: "Iterable[str]") -> "list[str]":
    """The places of a ``sys.path``, but for the working folder and what counts from it; where our packages are stays.

    A working folder that Python itself imports from, such as ``site-packages``, stays as well.
    """
    own = {os.path.realpath(place) for place in (HOME, os.path.dirname(os.__file__), *site.getsitepackages())}
    here = _working_folder()
    places = [place for place in path if os.path.isabs(place) and (_real(place) != here or _real(place) in own)]
    return places if any(_real(place) == _real(HOME) for place in places) else [*places, HOME]


def command(module: str) -> "list[str]":
    """The words that start a module of ours as a program, in a process that imports nothing from the working folder."""
    return [sys.executable, "-P", *flags(), BEGIN, module]


def flags() -> "list[str]":
    """The interpreter's flags that say where it may import from."""
    return ["-E"] * sys.flags.ignore_environment + ["-s"] * sys.flags.no_user_site + ["-S"] * sys.flags.no_site


def is_named_by_module(words: "list[str]") -> bool:
    """Whether a Python process was started with ``-m``, by the words of its command line."""
    rest = iter(words[1:])
    for word in rest:
        if not word.startswith("-") or word == "-":
            return False
        for place, letter in enumerate(word[1:], start=1):  # of a word such as -Pm
            if letter in "mc":
                return letter == "m"
            if letter in "XW":  # which take the rest of the word, or the next one
                if place == len(word) - 1:
                    next(rest, None)
                break
    return False


def keep_children_out(environment: "MutableMapping[str, str]") -> None:
    """Have Python processes that libraries start import nothing from the working folder either."""
    environment["PYTHONSAFEPATH"] = "1"
    given = environment.get("PYTHONPATH")
    if given is not None:
        here = _working_folder()
        kept = [place for place in given.split(os.pathsep) if os.path.isabs(place) and _real(place) != here]
        environment["PYTHONPATH"] = os.pathsep.join(kept)


def _working_folder() -> "str | None":
    try:
        return os.path.realpath(os.getcwd())
    except OSError:  # removed meanwhile
        return None


def _real(place: str) -> "str | None":
    try:
        return os.path.realpath(place)
    except OSError:  # counts from a working folder that was removed
        return None
