"""The folder of pictures beside a report: a report removes and replaces only what one has put there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.ingest import leftovers
from pipeline.look import beside
from pipeline.look.reporting import BEGIN, Report
from store import files
from store.errors import ColdframeError

A, B, C, D = (f"{digit * 32}.webp" for digit in "abcd")
TEMPORARY = f"{'0' * 32}.tmp"


def made(**pictures: bytes) -> Report:
    """A report with some pictures beside it."""
    named = {f"{name * 32}.webp": data for name, data in pictures.items()}
    return Report(f"{BEGIN}{' '.join(named)}", named, "x-pictures")


def held(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, but for the list."""
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.name != leftovers.BESIDE_REPORT}


def with_pages(folder: Path) -> None:
    """Pictures alone."""


def with_page_of_ours(folder: Path) -> None:
    """A report stands beside the folder, but is of something else."""
    folder.with_name("x.html").write_text(BEGIN)


def with_other_list(folder: Path) -> None:
    """A file has the name of the list."""
    (folder / leftovers.BESIDE_REPORT).write_text(f"birds\n{A}\n")


def with_list_of_others(folder: Path) -> None:
    """The list names other pictures."""
    (folder / leftovers.BESIDE_REPORT).write_text(f"{beside.FIRST_LINE}\n{C}\n")


@pytest.mark.variants
@pytest.mark.parametrize("more", [with_pages, with_page_of_ours, with_other_list, with_list_of_others])
@pytest.mark.parametrize("name", [A, B, f"{D}.{TEMPORARY}", "bird.webp"])
def test_pictures_of_the_user_stay(tmp_path: Path, more: Callable[[Path], None], name: str) -> None:
    folder = tmp_path / "x-pictures"
    folder.mkdir()
    (folder / name).write_bytes(b"a bird")
    more(folder)
    before = (
        held(folder),
        (folder / leftovers.BESIDE_REPORT).exists() and (folder / leftovers.BESIDE_REPORT).read_bytes(),
    )
    with pytest.raises(ColdframeError, match=r"which no report put there; name another file, or add --force"):
        made(a=b"1").save(tmp_path / "x.html")
    assert before == (
        held(folder),
        (folder / leftovers.BESIDE_REPORT).exists() and (folder / leftovers.BESIDE_REPORT).read_bytes(),
    )
    if name == A or more is with_other_list:  # a picture of the report has that name, or its list
        with pytest.raises(ColdframeError, match=r"no report put this there|has the name of the list"):
            made(a=b"1").save(tmp_path / "x.html", force=True)
        assert held(folder) == before[0]
        return
    for report in (made(a=b"1"), made(b=b"a bird"), made(c=b"3")):
        report.save(tmp_path / "x.html", force=True)
        assert held(folder) == report.pictures | {name: b"a bird"}


def test_pictures_of_an_earlier_report_go(tmp_path: Path) -> None:
    folder = tmp_path / "x-pictures"
    made(a=b"1", b=b"2").save(tmp_path / "x.html")
    assert held(folder) == {A: b"1", B: b"2"}
    made(b=b"3", c=b"4").save(tmp_path / "x.html")
    assert held(folder) == {B: b"3", C: b"4"}
    (tmp_path / "x.html").unlink()
    made(a=b"1").save(tmp_path / "x.html")
    assert held(folder) == {A: b"1"}


class Killed(BaseException):
    """As a kill does it: nothing is put in order."""


@pytest.mark.parametrize("earlier", [False, True])
def test_killed_anywhere_the_next_report_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool
) -> None:
    for at in range(100):
        work = tmp_path / str(at)
        work.mkdir()
        if earlier:
            made(a=b"1", b=b"2").save(work / "x.html")
        with monkeypatch.context() as patched:
            is_done = _die_at(patched, at, lambda work=work: made(b=b"3", c=b"4").save(work / "x.html"))  # type: ignore[misc]
        made(a=b"5").save(work / "x.html")
        assert held(work / "x-pictures") == {A: b"5"}
        if is_done:
            assert at > 10
            return
    raise AssertionError("it never ends")


def _die_at(patched: pytest.MonkeyPatch, at: int, act: Callable[[], object]) -> bool:
    """Do something that dies before the operation ``at`` on files, after which none is done; whether it came to its end."""
    steps = iter(range(10_000))
    for name in ("write", "sync", "rename", "remove", "sync_folder"):
        real = getattr(files, name)

        def step(*given: object, real: Callable[..., object] = real) -> object:
            if next(steps) >= at:
                raise Killed
            return real(*given)

        patched.setattr(files, name, step)
    try:
        act()
    except Killed:
        return False
    return True


def test_the_list_names_what_the_page_shows(tmp_path: Path) -> None:
    file = made(a=b"1", b=b"2").save(tmp_path / "x.html")
    lines = (tmp_path / "x-pictures" / leftovers.BESIDE_REPORT).read_text().splitlines()
    assert lines == [beside.FIRST_LINE, *re.findall(r"[ab]{32}\.webp", file.read_text())]
