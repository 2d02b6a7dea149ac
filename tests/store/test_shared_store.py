"""A store that somebody else may write to while our commands run: no link that they put there is followed."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.runs.runs import Run
from pipeline.train.heads import Head
from pipeline.upkeep import verify
from store import files, garbage, manifest, opening, parts, places, spill
from store.errors import ColdframeError, Locked, StoreDamaged
from store.store import Store
from tests.support.coldframe import Catalogue, Coldframe
from tests.support.statements import shown

pytestmark = pytest.mark.variants

NAME = f"{'0' * 31}1.parquet"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A person's folder with a file that has a name such as parts have."""
    folder = tmp_path / "private"
    folder.mkdir()
    (folder / NAME).write_bytes(b"precious")
    return folder


@pytest.fixture
def shared(ready: Coldframe, tmp_path: Path) -> Coldframe:
    """A copy of a store of our own."""
    shutil.copytree(ready.path, tmp_path / "shared")
    return Coldframe(tmp_path / "shared")


def swap(folder: Path, outside: Path) -> None:
    """What another user does at the worst moment."""
    folder.rename(folder.with_name("was"))
    folder.symlink_to(outside)


def untouched(outside: Path) -> bool:
    return [path.name for path in outside.iterdir()] == [NAME] and (outside / NAME).read_bytes() == b"precious"


@pytest.mark.parametrize("swapped", ["parts/verdicts", "parts"])
def test_nothing_outside_is_removed(shared: Coldframe, outside: Path, swapped: str) -> None:
    (shared.path / "parts" / "verdicts" / NAME).write_bytes(b"waste")
    if swapped == "parts":
        (outside / "verdicts").mkdir()
        (outside / NAME).rename(outside / "verdicts" / NAME)
    store = shared.store
    waste = garbage.find(store.root, time.time() + 1)
    assert any(path.name == NAME for path in waste.all_parts())
    swap(shared.path / swapped, outside)
    with pytest.raises(places.NotRegular, match="which is a link or no folder"):
        garbage.remove_parts(waste)
    assert (outside / "verdicts" / NAME if swapped == "parts" else outside / NAME).read_bytes() == b"precious"


def rename(store: Path) -> None:
    files.rename(store / "parts" / "verdicts" / NAME, store / "parts" / "images" / NAME)


def link(store: Path) -> None:
    files.link(store / "parts" / "verdicts" / NAME, store / "damaged.parquet")


def write(store: Path) -> None:
    files.write(store / "parts" / "verdicts" / f"{'2' * 32}.parquet", lambda file: file.write(b"ours"))


def make(store: Path) -> None:
    files.make_folder(store / "parts" / "verdicts" / "more")


def sync(store: Path) -> None:
    files.sync(store / "parts" / "verdicts" / NAME)


def sync_folder(store: Path) -> None:
    files.sync_folder(store / "parts" / "verdicts")


def remove(store: Path) -> None:
    files.remove(store / "parts" / "verdicts" / NAME)


def digest(store: Path) -> None:
    parts.sha256_of(store / "parts" / "verdicts" / NAME)


@pytest.mark.parametrize("operation", [rename, link, write, make, sync, sync_folder, remove, digest])
def test_no_operation_goes_through_a_link(shared: Coldframe, outside: Path, operation: Callable[[Path], None]) -> None:
    root = shared.store.root
    swap(root / "parts" / "verdicts", outside)
    with pytest.raises(OSError, match="link or no folder"):
        operation(root)
    assert untouched(outside)


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o700])
def test_a_part_that_becomes_a_link_is_not_read(shared: Coldframe, tmp_path: Path, mode: int) -> None:
    """Whoever may write there: a list of users on a folder, or a folder above, may let others in unseen."""
    for folder in (shared.path, shared.path / "parts", *(shared.path / "parts").iterdir()):
        folder.chmod(mode)
    snapshot = shared.store.snapshot()
    live = next(part for part in snapshot.manifest.parts("images") if part.rows)
    assert shown(shared.path, snapshot.manifest).sql("select count(*) from images").fetchall() == [(24,)]
    con = shown(shared.path, snapshot.manifest)  # which has seen that all is well
    secret = tmp_path / "secret.parquet"
    shutil.copy(shared.path / live.path, secret)
    (shared.path / live.path).unlink()
    (shared.path / live.path).symlink_to(secret)
    with pytest.raises(Exception, match="link"):
        con.sql("select * from images").fetchall()


@pytest.mark.parametrize("look", [manifest.numbers, lambda root: garbage.find(root, time.time())])
def test_manifests_behind_a_link_are_not_counted(
    shared: Coldframe, tmp_path: Path, look: Callable[[Path], object]
) -> None:
    """Those that are put there while a command runs would make live parts look like waste."""
    root = shared.store.root
    other = tmp_path / "other"
    shutil.copytree(root / "manifests", other)
    swap(root / "manifests", other)
    with pytest.raises(OSError, match="which is a link"):
        look(root)
    (root / "manifests").unlink()
    with pytest.raises(StoreDamaged, match="no manifest there"):
        garbage.find(root, time.time())


@pytest.mark.exhaustive
def test_every_step_works_on_a_shared_store(shared: Coldframe) -> None:
    for folder in (shared.path, shared.path / "parts", *(shared.path / "parts").iterdir()):
        folder.chmod(0o777)
    shared("split", "test", "0.3")
    shared("filter", "centroid", "--percentile", "90", "--embedder", "mean-colour")
    shared("train", "--head", "centroid")
    shared("evaluate", "centroid")
    shared("verify", "--deep")
    shared("gc", "--grace", "0s")
    assert shared.value("select count(*) from runs") == 1


def test_a_part_that_becomes_a_pipe_is_not_waited_for(shared: Coldframe) -> None:
    snapshot = shared.store.snapshot()
    live = next(part for part in snapshot.manifest.parts("images") if part.rows)
    con = shown(shared.path, snapshot.manifest)
    (shared.path / live.path).unlink()
    os.mkfifo(shared.path / live.path)
    with pytest.raises(Exception, match="a pipe"):
        con.sql("select * from images").fetchall()


@pytest.mark.exhaustive
@pytest.mark.parametrize("sign", ["cat[1]", "c*t", "ca?", "{cat,dog}", "x=1"])
def test_a_path_of_a_store_is_no_pattern(ready: Coldframe, catalogue: Catalogue, tmp_path: Path, sign: str) -> None:
    """Other stores lie where the path would lead as a pattern, and hold other rows."""
    catalogue.write(catalogue.rows[:5])
    other = Coldframe(tmp_path / "cat1" / "store")
    other.path.parent.mkdir()
    other.ingest(catalogue)
    for name, store in (("cat", other), ("dog", other), (sign, ready)):
        shutil.copytree(store.path, tmp_path / name / "store")
    cf = Coldframe(tmp_path / sign / "store")
    assert cf.value("select count(*) from images") == 24
    assert cf.store.snapshot().rows("steps/upkeep/coverage")
    assert cf.store.snapshot().select("images", "image_id").num_rows == 24
    cf("split", "test", 0.25)
    assert cf.value("select count(*) from splits") == 24
    cf("verify", "--deep")


def test_a_part_that_gc_took_meanwhile_is_not_committed(shared: Coldframe) -> None:
    """A writer that stood still between writing and committing."""
    committing = shared.store.commit("test")
    commit = committing.__enter__()
    commit.create_datasets()
    shared("gc", "--grace", "0s")
    with pytest.raises(Locked, match="removed before it was committed"):
        committing.__exit__(None, None, None)
    shared("verify")


@pytest.mark.parametrize(
    "name",
    [
        "parts/images/2024.parquet", "parts/images/beef.parquet", "parts/images/0.parquet.tmp", "manifests/1.tmp",
        f"parts/images/{'0' * 32}.npz", f"parts/models/{'0' * 32}.parquet", "parts/models/1.keras", "manifests/abc.tmp",
        f"parts/images/{'A' * 32}.parquet", f"parts/images/{'0' * 33}.parquet",
    ],
)  # fmt: skip
def test_files_whose_names_are_none_of_ours_stay(shared: Coldframe, name: str) -> None:
    (shared.path / name).parent.mkdir(exist_ok=True)
    (shared.path / name).write_text("mine")
    shared("gc", "--grace", "0s")
    assert (shared.path / name).read_text() == "mine"


@pytest.mark.parametrize("kind", ["a second name", "a folder"])
def test_a_strange_lock_fails_verify(shared: Coldframe, tmp_path: Path, kind: str) -> None:
    lock = shared.path / "locks" / "curation.lock"
    lock.unlink(missing_ok=True)
    if kind == "a folder":
        lock.mkdir()
    else:
        (tmp_path / "other").touch()
        os.link(tmp_path / "other", lock)
    assert str(lock) in shared("verify", code=4).stdout


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_lock_is_made_through_no_link_while_it_is_waited_for(ready: Coldframe, tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    held = ready.store.lock("commit")
    held.__enter__()

    def put() -> None:
        lock = ready.path / "locks/commit.lock"
        if kind == "link":
            return swap(ready.path / "locks", outside)
        lock.unlink()
        return os.mkfifo(lock) if kind == "pipe" else lock.mkdir()

    timer = threading.Timer(0.3, put)
    timer.start()
    with pytest.raises(OSError, match="link or no"), ready.store.lock("commit", wait=10):
        pass
    timer.join()
    assert not list(outside.iterdir())


def test_a_lock_that_was_removed_meanwhile_is_no_lock(ready: Coldframe) -> None:
    with ready.store.lock("commit"):
        (ready.path / "locks/commit.lock").unlink()
        with ready.store.lock("commit"):  # which is another, and may be had
            pass
    with ready.store.lock("commit"), pytest.raises(Locked), ready.store.lock("commit"):
        pass


def test_a_model_is_read_through_no_link_however_the_store_is_named(
    ready: Coldframe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready("split", "test", "0.3")
    ready("train", "--head", "centroid")
    monkeypatch.chdir(tmp_path)
    store = Store.open(Path("store"))
    run = Run.find(store.snapshot(), "centroid")
    file = run.file(store.snapshot())
    swap(tmp_path / "store/parts/models", tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir(exist_ok=True)
    with pytest.raises((ColdframeError, OSError), match="link"):
        Head.read(file)


def test_the_store_itself_is_the_one_that_was_opened(ready: Coldframe, tmp_path: Path) -> None:
    """Whoever may write in the folder above it may put another in its place while a command runs."""
    store = ready.store
    shutil.copytree(ready.path, tmp_path / "other")
    live = sorted(path for path in (tmp_path / "other").rglob("*") if path.is_file())
    ready.path.rename(tmp_path / "away")
    ready.path.symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="another folder has taken its place"):
        files.remove(next(store.root.glob("parts/images/*.parquet")))
    with pytest.raises(OSError, match="another folder has taken its place"), store.lock("commit"):
        pass
    assert sorted(path for path in (tmp_path / "other").rglob("*") if path.is_file()) == live


def test_a_part_that_may_not_be_read_is_not_taken_for_damage(ready: Coldframe, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    part = ready.store.snapshot().manifest.parts("images")[-1]
    monkeypatch.setattr(opening, "open_regular", refuse)
    with pytest.raises(ColdframeError, match=r"cannot be looked at .* so nobody can say whether it is damaged"):
        parts.problem_of(ready.path, part, deep=True)


def test_a_pipe_in_place_of_a_new_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "part.tmp")
    with suppress(OSError):
        files.sync(tmp_path / "part.tmp")


def test_a_full_temporary_folder_is_no_damage(ready: Coldframe, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is written into the working folder in its place."""
    monkeypatch.setattr(spill, "new", lambda: "")
    before = sorted(Path.cwd().iterdir())
    with pytest.raises(ColdframeError, match="make room there, or name another in TMPDIR"):
        verify.verify(ready.store, deep=True)
    assert sorted(Path.cwd().iterdir()) == before
