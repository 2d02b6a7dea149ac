"""Names of columns, as SQL tells them apart."""

from __future__ import annotations

from collections.abc import Iterable


def folded(name: str) -> str:
    """A name as SQL takes it, which ignores the case of A to Z."""
    return name.encode(errors="surrogateescape").lower().decode(errors="surrogateescape")


def unique_names(names: Iterable[str], known: Iterable[str] = ()) -> list[str]:
    """Names that SQL can tell apart, where case does not count: a repeated one gets a number.

    Args:
        known: names given out before, which stay as they are spelled. Of names that differ only in case, one that is known goes
            before the others, so that columns may come in another order.
    """
    given, spelled = list(names), {folded(name): name for name in known}
    exact = set(spelled.values())
    first: dict[str, int] = {}
    for at, name in enumerate(given):
        first.setdefault(name.lower(), at)
    order = list(range(len(given)))
    if not exact.issuperset(_numbered(given)):  # else they are the same as before, in the same order
        order.sort(key=lambda at: (first[given[at].lower()], given[at] not in exact, at))
    numbered = dict(zip(order, _numbered(given[at] for at in order), strict=True))
    return [spelled.get(folded(numbered[at]), numbered[at]) for at in range(len(given))]


def _numbered(names: Iterable[str]) -> list[str]:
    taken: set[str] = set()
    result = []
    for given in names:
        name, number = given, 2
        while name.lower() in taken:
            name, number = f"{given}_{number}", number + 1
        taken.add(name.lower())
        result.append(name)
    return result
