"""Where our processes import from: never the working folder, which may hold a stranger's files.

It is imported while that folder may still be on the path, so it imports nothing that Python has not loaded at its start.
"""

import os
import site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

HOME = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # the folder that holds our packages


def without_working_folder(path: "Iterable[str]") -> "list[str]":
    """The places of a ``sys.path``, but for the working folder and what counts from it; where our packages are stays.

    A working folder that Python itself imports from, such as ``site-packages``, stays as well.
    """
    own = {os.path.realpath(place) for place in (HOME, os.path.dirname(os.__file__), *site.getsitepackages())}
    here = _working_folder()
    places = [place for place in path if os.path.isabs(place) and (_real(place) != here or _real(place) in own)]
    return places if any(_real(place) == _real(HOME) for place in places) else [*places, HOME]


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
