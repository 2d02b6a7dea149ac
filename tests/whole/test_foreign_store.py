"""A store from somebody else is input: nothing outside it is read, moved or removed, and whatever it holds gives a sentence."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from pipeline.cli.app import cli
from pipeline.finetune.activations import Activations
from pipeline.ingest import decoding, examine, pictures
from pipeline.train import tune
from pipeline.upkeep import footers, inside
from store import manifest, opening, parts, queries, spill
from store.errors import ColdframeError
from store.manifest import Manifest
from store.schemas import SCHEMAS
from store.store import Store
from tests.support.coldframe import REPOSITORY, Coldframe, drawn, environment

pytestmark = [pytest.mark.slow, pytest.mark.variants]

SECONDS = 60.0  # after which a process hangs
HEX = "0123456789abcdef" * 2
LOOKING = (["inspect"], ["sql", "select count(*) from images"], ["status"], ["runs"], ["why", "finch-00"])
Mutation = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store on which the usual steps were run."""
    folder = tmp_path_factory.mktemp("whole")
    catalogue = drawn(folder / "catalogue", per_class=3)
    cf = Coldframe(folder / "store")
    cf.ingest(catalogue)
    cf("embed", "mean-colour")
    cf("filter", "greyscale")
    cf("split", "test", 0.25)
    cf("train", "--as", "c", "--head", "centroid", "--embedder", "mean-colour")
    return cf.path


@pytest.fixture
def foreign(whole: Path, tmp_path: Path) -> Coldframe:
    """A copy of it that a test may spoil."""
    shutil.copytree(whole, tmp_path / "store")
    return Coldframe(tmp_path / "store")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder that is no business of a store's, with files and folders of any name, long untouched."""
    folder = tmp_path / "home"
    for name in ("letters.txt", f"{HEX}.parquet", f"{HEX}.parquet.tmp", f"{HEX}.npy", "00000001.json", f"{HEX}.tmp"):
        for place in (folder, folder / "images", folder / HEX[:16]):
            place.mkdir(parents=True, exist_ok=True)
            (place / name).write_text("mine")
            os.utime(place / name, (1, 1))
    for place in (folder / "images", folder / HEX[:16], folder):
        os.utime(place, (1, 1))
    return folder


def told(cf: Coldframe, *arguments: object, code: int | tuple[int, ...] = 1) -> str:
    """What a command says, which must end in a sentence and as expected."""
    result = CliRunner().invoke(cli, ["-s", str(cf.path), *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    output = result.output
    assert result.exit_code in ((code,) if isinstance(code, int) else code), (
        f"{arguments}: {result.exit_code}\n{output}"
    )
    assert not re.search("Traceback|unforeseen", output), output
    assert "Error: " in output or result.exit_code in (0, 3), output
    return output


def tree(folder: Path) -> dict[str, str]:
    """All that lies in a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_text() if path.is_file() else "" for path in folder.rglob("*")
    }


def newest(root: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(manifest.path_of(root, manifest.numbers(root)[-1]).read_text())["manifest"]
    return body


def seal(root: Path, body: Any, number: int | None = None, text: str = "") -> Path:
    """Write a manifest with a checksum that is right; ``text`` in place of what the body is as JSON."""
    text = text or json.dumps(body, sort_keys=True)
    digest = hashlib.sha256(json.dumps(json.loads(text), sort_keys=True).encode()).hexdigest()
    path = manifest.path_of(root, body["number"] if number is None else number)
    path.unlink(missing_ok=True)
    path.write_text(f'{{"manifest": {text}, "sha256": "{digest}"}}')
    return path


def part_of(body: dict[str, Any], dataset: str = "images") -> dict[str, Any]:
    part: dict[str, Any] = body["datasets"][dataset][-1]
    return part


def with_rows(cf: Coldframe, dataset: str, column: str, value: Any) -> None:
    """Put a value into each row of a dataset, through our own commits: all checksums are right."""
    before = cf.store.snapshot().manifest
    with cf.store.commit("foreign") as commit:
        for key in sorted({part.key for part in before.parts(dataset) if part.rows}):
            table = pa.concat_tables([pq.read_table(cf.path / part.path) for part in before.parts(dataset, key)])
            rows = [row | {column: value} for row in table.to_pylist()]
            commit.replace(dataset, pa.Table.from_pylist(rows, table.schema), key=key)


def with_tables(cf: Coldframe, dataset: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Put other tables in place of a dataset's, whatever their columns."""
    old = cf.store.snapshot().manifest
    new = tuple(
        parts.write_table(cf.path, dataset, part.key, change(pq.read_table(cf.path / part.path)))
        for part in old.parts(dataset)
    )
    manifest.publish(cf.path, Manifest(old.number + 1, old.number, "", "x", {**old.datasets, dataset: new}))


def damage(cf: Coldframe, *datasets: str) -> None:
    for dataset in datasets:
        for part in cf.store.snapshot().manifest.parts(dataset):
            if part.rows:
                (cf.path / part.path).write_bytes(b"x" * part.bytes)


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


# Links


@pytest.mark.parametrize(
    "place", ["activations", "parts", "parts/images", f"parts/{'x' * 8}", "manifests", "locks", "damaged", "tuning"]
)
def test_a_folder_that_is_a_link_is_refused_and_nothing_behind_it_is_touched(
    foreign: Coldframe, home: Path, place: str
) -> None:
    before = tree(home)
    folder = foreign.path / place
    if folder.is_dir():
        folder.rename(folder.parent / "was")
    folder.symlink_to(home)
    assert str(folder) in told(foreign, "gc", "--grace", "0s")
    assert str(folder) in told(foreign, "repair")
    assert str(folder) in told(foreign, "inspect")
    assert str(folder) in told(foreign, "verify", code=4)
    assert folder.is_symlink()
    assert tree(home) == before


@pytest.mark.parametrize(
    "place",
    [
        f"activations/{HEX[:16]}",
        "activations/finch",
        f"activations/{HEX[:16]}/{HEX}.npy",
        f"parts/images/{HEX}.parquet",
        f"parts/images/{HEX}.parquet.tmp",
        f"manifests/{HEX}.tmp",
        "manifests/00000001.json",
        "locks/commit.lock",
    ],
)
def test_a_link_deeper_down_is_not_followed_removed_or_passed_over(foreign: Coldframe, home: Path, place: str) -> None:
    """One in place of a part or a manifest of its own is another test's."""
    before = tree(home)
    link = foreign.path / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(home / "letters.txt" if link.suffix else home)
    told(foreign, "gc", "--grace", "0s", code=(0, 1))
    assert link.is_symlink(), "it is not ours to remove"
    assert str(link) in told(foreign, "verify", code=4)
    assert tree(home) == before


def test_gc_removes_what_it_wrote_and_leaves_what_else_lies_there(foreign: Coldframe) -> None:
    cache = foreign.path / "activations" / HEX[:16]
    theirs = [
        foreign.path / "activations" / "photographs" / "moth.png",
        cache / "notes.txt",
        foreign.path / "parts" / "images" / "README.md",
        foreign.path / "parts" / "photographs of mine" / f"{HEX}.png",
        foreign.path / "parts" / "images" / f"{HEX[:30]}.parquet" / "inside.txt",
        foreign.path / "manifests" / f"{HEX[:30]}.tmp" / "inside.txt",
        foreign.path / "manifests" / "draft.tmp",
        foreign.path / "notes" / f"{HEX}.parquet",
    ]
    ours = [
        cache / f"{HEX}.npy",
        cache / f"{HEX}.json",
        foreign.path / "parts" / "images" / f"{HEX}.parquet",
        foreign.path / "parts" / "images" / f"{HEX}.parquet.tmp",
        foreign.path / "manifests" / f"{HEX}.tmp",
    ]
    for path in (*theirs, *ours):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    foreign("gc", "--grace", "0s")
    assert [path for path in theirs if not path.is_file()] == []
    assert [path for path in ours if path.exists()] == []
    assert "FAILED" not in foreign("verify", "--deep").stdout


def test_a_part_that_is_a_link_is_neither_read_nor_moved(foreign: Coldframe, home: Path) -> None:
    part = foreign.path / part_of(newest(foreign.path))["path"]
    part.rename(home / "images.parquet")
    part.symlink_to(home / "images.parquet")
    before = (home / "images.parquet").read_bytes()
    for command in LOOKING:
        told(foreign, *command)
    assert "a link" in told(foreign, "verify", code=4)
    told(foreign, "repair", code=0)
    told(foreign, "gc", "--grace", "0s", code=0)
    assert (home / "images.parquet").read_bytes() == before


@pytest.mark.parametrize(
    "place",
    [
        "../home/secret.parquet",
        "parts/../../home/secret.parquet",
        "parts/images/../../../home/secret.parquet",
        "{home}/secret.parquet",
        "parts/images//{home}/secret.parquet",
        "./parts/images/{name}",
        "parts/./images/{name}",
        "parts//images/{name}",
        "parts/images/{name}/",
        "parts/labels/{name}",
        "PARTS/images/{name}",
        "parts/images/{upper}",
        "parts/images/{name}\n",
        "parts/images/{digits}.parquet",
        "parts/images/{name}.tmp",
        "manifests/00000001.json",
    ],
)
def test_a_part_at_a_path_that_is_not_ours_is_never_opened(foreign: Coldframe, home: Path, place: str) -> None:
    """Its bytes are those that the manifest says where it is read, and others once it is repaired."""
    body = newest(foreign.path)
    part = part_of(body)
    file = foreign.path / part["path"]
    secret = home / "secret.parquet"
    secret.write_bytes(file.read_bytes())
    names = {
        "name": file.name,
        "upper": file.name.upper(),
        "digits": file.stem.translate(str.maketrans("0123", "٠١٢٣")),
    }
    part["path"] = place.format(home=home, **names)
    body["number"] += 1
    path = seal(foreign.path, body)
    assert str(path) in told(foreign, "inspect")
    assert str(path) in told(foreign, "sql", "from images")
    assert str(path) in told(foreign, "verify", code=4)
    assert str(path) in told(foreign, "gc", "--grace", "0s")
    secret.write_bytes(b"x" * part["bytes"])
    told(foreign, "repair", code=0)
    assert secret.read_bytes() == b"x" * part["bytes"]
    assert "FAILED" not in foreign("verify", "--deep").stdout, "the moment before is whole"


# Manifests

MALFORMED: dict[str, Mutation] = {
    "no step": lambda body: body.pop("step"),
    "no datasets": lambda body: body.pop("datasets"),
    "no format": lambda body: body.pop("format"),
    "a format in words": lambda body: body.update(format="1"),
    "a format that is true": lambda body: body.update(format=True),
    "a number in words": lambda body: body.update(number=str(body["number"])),
    "another number": lambda body: body.update(number=3),
    "a negative parent": lambda body: body.update(parent=-1),
    "a parent that is none": lambda body: body.update(parent=float("nan")),
    "a time that is a number": lambda body: body.update(created_at=1),
    "a deep step": lambda body: body.update(step=nested(300)),
    "a very deep step": lambda body: body.update(step=nested(900)),
    "half a character": lambda body: body.update(step="\ud800"),
    "datasets as a list": lambda body: body.update(datasets=[["images", []]]),
    "a dataset as text": lambda body: body["datasets"].update(images=""),
    "a dataset as an object": lambda body: body["datasets"].update(images={}),
    "a dataset that is none": lambda body: body["datasets"].update(images=None),
    "a dataset with a way out": lambda body: body["datasets"].update({"../..": []}),
    "a dataset in capitals": lambda body: body["datasets"].update(IMAGES=body["datasets"].pop("images")),
    "a part of another dataset": lambda body: body["datasets"]["scores"].append(part_of(body)),
    "a part named twice": lambda body: body["datasets"]["images"].append(dict(part_of(body))),
    "a part as text": lambda body: body["datasets"]["images"].append("parts/images/0.parquet"),
    "a part as a number": lambda body: body["datasets"]["images"].append(5),
    "a part without rows": lambda body: part_of(body).pop("rows"),
    "a part with more": lambda body: part_of(body).update({"x" * 100_000: 1}),
    "a path that is none": lambda body: part_of(body).update(path=None),
    "a long path": lambda body: part_of(body).update(path="x" * 1_000_000),
    "rows in words": lambda body: part_of(body).update(rows="many"),
    "rows beyond counting": lambda body: part_of(body).update(rows=10**30),
    "infinite bytes": lambda body: part_of(body).update(bytes=float("inf")),
    "rows that are true": lambda body: part_of(body).update(rows=True),
    "a checksum in capitals": lambda body: part_of(body).update(sha256=part_of(body)["sha256"].upper()),
    "a checksum that is a list": lambda body: part_of(body).update(sha256=["a"]),
    "a key that is a list": lambda body: part_of(body).update(key=[]),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_manifest_that_nobody_of_ours_wrote_gives_a_sentence(foreign: Coldframe, name: str) -> None:
    body = newest(foreign.path)
    number = body["number"] + 1
    body["number"] = number
    MALFORMED[name](body)
    path = seal(foreign.path, body, number)
    said = told(foreign, "inspect")
    assert str(path) in said
    assert len(said) < 2000
    assert str(path) in told(foreign, "verify", code=4)
    assert str(path) in told(foreign, "repair", "--dry-run", code=0)
    told(foreign, "repair", code=0)
    assert "FAILED" not in foreign("verify").stdout


def test_every_command_gives_that_sentence(foreign: Coldframe) -> None:
    body = newest(foreign.path)
    body["number"] += 1
    part_of(body)["rows"] = "many"
    path = seal(foreign.path, body)
    for command in (*LOOKING, ["gc"], ["drop", "finch-00", "--why", "x"], ["embed", "mean-colour"], ["curate"]):
        assert str(path) in told(foreign, *command), command


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 64,
        b"\xff\xfe{\x00",
        b'{"manifest": "\xff", "sha256": ""}',
        b"[]",
        b"null",
        b'"text"',
        b'{"manifest": null, "sha256": null}',
        b'{"manifest": NaN, "sha256": "x"}',
        b'{"manifest": 1e400, "sha256": []}',
        b'{"manifest": ' + b"1" * 5000 + b', "sha256": ""}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_a_torn_manifest_fails_verify_and_repair_sets_it_aside(foreign: Coldframe, content: bytes) -> None:
    path = manifest.path_of(foreign.path, newest(foreign.path)["number"] + 1)
    path.write_bytes(content)
    told(foreign, "inspect", code=0)
    assert str(path) in told(foreign, "verify", code=4)
    assert str(path) in told(foreign, "gc", "--grace", "0s")
    told(foreign, "repair", code=0)
    assert not path.exists()
    assert (foreign.path / "damaged" / "manifests" / path.name).read_bytes() == content
    assert "FAILED" not in foreign("verify").stdout


def test_a_manifest_as_large_as_a_disk_is_not_read(foreign: Coldframe) -> None:
    path = manifest.path_of(foreign.path, newest(foreign.path)["number"] + 1)
    with path.open("wb") as file:
        file.truncate(300 << 20)
    assert "larger than" in told(foreign, "inspect")
    assert str(path) in told(foreign, "verify", code=4)


@pytest.mark.parametrize("where", ["body", "part", "datasets"])
def test_a_name_that_stands_twice_is_refused(foreign: Coldframe, where: str) -> None:
    """Two readers would not agree on what such a manifest says."""
    body = newest(foreign.path)
    body["number"] += 1
    text = json.dumps(body, sort_keys=True)
    twice = {
        "body": text.replace('"format": 1', '"format": 9, "format": 1'),
        "part": text.replace('"rows": 0', '"rows": 7, "rows": 0', 1),
        "datasets": text.replace('"datasets": {', '"datasets": {"images": [], ', 1),
    }[where]
    assert twice != text
    path = seal(foreign.path, body, text=twice)
    assert str(path) in told(foreign, "inspect")
    assert str(path) in told(foreign, "verify", code=4)


@pytest.mark.parametrize("stem", ["000000{:d}", "0{:08d}", "{}٣"])
def test_a_second_name_for_the_newest_manifest_does_not_cost_the_first(foreign: Coldframe, stem: str) -> None:
    number = newest(foreign.path)["number"]
    first = manifest.path_of(foreign.path, number)
    shutil.copy(first, first.with_name(f"{stem.format(number)}.json"))
    told(foreign, "gc", "--grace", "0s", code=0)
    assert first.exists()
    assert foreign.value("select count(*) from images") == 9


@pytest.mark.parametrize("number", [10**15, 10**17 - 1, 10**18 - 1])
@pytest.mark.parametrize("is_whole", [True, False])
def test_what_is_committed_after_the_highest_number_is_not_lost(
    foreign: Coldframe, number: int, is_whole: bool
) -> None:
    body = newest(foreign.path) | {"number": number}
    path = seal(foreign.path, body)
    if not is_whole:
        path.write_text("torn")
        foreign("drop", "finch-00", "--why", "x")
        assert foreign.value("select count(*) from kept") == 8
    else:
        assert str(path) in told(foreign, "drop", "finch-00", "--why", "x")
    assert str(path) in told(foreign, "verify", code=4)
    told(foreign, "repair", code=0)
    foreign("drop", "heron-00", "--why", "x")
    assert "heron-00" not in str(foreign.rows("from kept"))
    assert "FAILED" not in foreign("verify").stdout


@pytest.mark.parametrize("name", ["a number in words", "a part of another dataset", "a very deep step"])
def test_repair_gets_past_a_foreign_manifest_to_a_damaged_part(foreign: Coldframe, name: str) -> None:
    body = newest(foreign.path)
    body["number"] = number = body["number"] + 1
    damage(foreign, "embeddings")
    MALFORMED[name](body)
    seal(foreign.path, body, number)
    assert "embed mean-colour" in told(foreign, "repair", code=0)
    foreign("embed", "mean-colour")
    assert "FAILED" not in foreign("verify", "--deep").stdout


# What is no file


@contextmanager
def made(kind: str, path: Path, home: Path) -> Iterator[None]:
    """Something else in place of a file."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
        (path / "inside").write_text("x")
    elif kind == "link":
        path.symlink_to(home / "letters.txt")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    if kind != "socket":
        yield
        return
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket is short
        one.bind(path.name)
        os.chdir(here)
        yield


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "link", "loop", "device"])
@pytest.mark.parametrize("place", ["part", "manifest", "next manifest"])
def test_what_is_no_file_in_place_of_one_is_neither_waited_for_nor_removed(
    foreign: Coldframe, home: Path, kind: str, place: str
) -> None:
    body = newest(foreign.path)
    path = {
        "part": foreign.path / part_of(body)["path"],
        "manifest": manifest.path_of(foreign.path, body["number"]),
        "next manifest": manifest.path_of(foreign.path, body["number"] + 1),
    }[place]
    before = tree(home)
    with made(kind, path, home):
        if kind in ("pipe", "device"):  # the first command may hang, and takes no test down then
            foreign.process("inspect", code=1, timeout=SECONDS)
        for command in (["inspect"], ["sql", "from images"]):
            assert str(path) in told(foreign, *command)
        assert str(path) in told(foreign, "verify", code=4)
        if place != "part":
            assert str(path) in told(foreign, "gc", "--grace", "0s")
        told(foreign, "repair", code=0)
        told(foreign, "gc", "--grace", "0s", code=0)
        if place == "part":
            assert os.path.lexists(path), "it is not ours to remove"
        else:
            assert os.path.lexists(foreign.path / "damaged" / "manifests" / path.name)
            assert "FAILED" not in foreign("verify").stdout
        assert tree(home) == before


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "loop", "device"])
def test_a_lock_that_is_no_file_is_neither_waited_for_nor_written(foreign: Coldframe, home: Path, kind: str) -> None:
    before = tree(home)
    for name in ("commit", "maintenance"):
        lock = foreign.path / "locks" / f"{name}.lock"
        with made(kind, lock, home):
            if kind == "pipe":
                foreign.process("gc", code=1, timeout=SECONDS)
            assert str(lock) in told(foreign, "gc", "--grace", "0s")
            told(foreign, "inspect", code=0)
        if lock.is_dir():
            shutil.rmtree(lock)
        lock.unlink(missing_ok=True)
    assert tree(home) == before


def archive(array: Any) -> bytes:
    np.savez("arrays.npz", array)
    return Path("arrays.npz").read_bytes()


def npy(array: Any, **more: Any) -> bytes:
    path = Path("array.npy")
    np.save(path, array, **more)
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "device"])
def test_a_cache_of_pipes_and_links_counts_as_empty(tmp_path: Path, home: Path, kind: str) -> None:
    cache = tmp_path / "cache"
    script = f"""
        from pathlib import Path
        from pipeline.finetune.activations import Activations
        cache = Activations(Path({str(cache)!r}), (2,), "float16")
        cache.refresh()
        assert cache.missing(["a"]) == ["a"]
        cache.remove_leftovers()
    """
    for name in ("json", "npy"):
        with made(kind, cache / f"{HEX}.{name}", home):
            (cache / f"{HEX}.{'npy' if name == 'json' else 'json'}").write_bytes(
                npy(np.zeros((1, 2), np.float16)) if name == "json" else b'["a"]'
            )
            if kind in ("pipe", "device"):
                run_python(script)
            else:
                exec(textwrap.dedent(script), {})
        shutil.rmtree(cache)


def run_python(script: str, **more: Any) -> str:
    """What a script prints, in a process that may hang."""
    command = [sys.executable, "-P", "-c", textwrap.dedent(script)]
    more = {"env": environment(PYTHONPATH=str(REPOSITORY)), "timeout": SECONDS, **more}
    done: subprocess.CompletedProcess[str] = subprocess.run(command, check=True, capture_output=True, text=True, **more)
    return done.stdout


ARRAYS: dict[str, Callable[[], bytes]] = {
    "an archive": lambda: archive(np.zeros((1, 2), np.float16)),
    "a torn archive": lambda: b"PK\x03\x04" + b"\0" * 60,
    "objects": lambda: npy(np.array([[None, None]]), allow_pickle=True),
    "other numbers": lambda: npy(np.zeros((1, 2), np.float64)),
    "the other order of bytes": lambda: npy(np.zeros((1, 2), ">f2")),
    "too few": lambda: npy(np.zeros((1, 2), np.float16))[:-2],
    "a deep header": lambda: b"\x93NUMPY\x01\x00" + (9000).to_bytes(2, "little") + b"(" * 8999 + b"\n",
    "a huge shape": lambda: npy(np.zeros((1, 2), np.float16)).replace(b"(1, 2), }", b"(9" + b"9" * 30 + b",2),}"),
    "no text": lambda: b"\x93NUMPY\x01\x00\xff\xff",
    "nothing": lambda: b"",
}
LISTINGS = {
    "a number": b"1",
    "numbers": b"[1]",
    "an object": b'{"a": 1}',
    "deep": b"[" * 10_000,
    "no UTF-8": b'["\xff"]',
}


@pytest.mark.parametrize("name", [*ARRAYS, *LISTINGS])
def test_a_cache_that_nobody_of_ours_wrote_counts_as_empty(tmp_path: Path, name: str) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / f"{HEX}.json").write_bytes(LISTINGS.get(name, b'["a"]'))
    (cache / f"{HEX}.npy").write_bytes(ARRAYS.get(name, lambda: npy(np.zeros((1, 2), np.float16)))())
    found = Activations(cache, (2,), "float16")
    found.refresh()
    assert found.missing(["a"]) == ["a"]
    found.write(["a"], np.ones((1, 2), np.float16))
    found.refresh()
    assert found.take(["a"]).tolist() == [[1.0, 1.0]]


SCORES = [
    '{"score": NaN}',
    '{"score": 1e999}',
    '{"score": []}',
    "[]",
    "null",
    "{",
    "[" * 10_000,
    f'{{"score": {"1" * 400}}}',
]


@pytest.mark.parametrize("score", [*SCORES, "link", "pipe"])
def test_a_score_that_nobody_of_ours_kept_is_measured_anew(tmp_path: Path, home: Path, score: str) -> None:
    trials = object.__new__(tune._Trials)
    trials._folder, trials._settings = tmp_path, tune.Settings()
    trials.scores, trials.asked, trials.known, trials.values = {}, set(), 0, {}
    trials._measure = lambda settings: 0.5  # type: ignore[method-assign]
    values = {"optimizer": "adam", "adam_rate": 0.001, "layers": 1, "units_0": 400, "dropout": 0.0}
    assert trials.score(values, 2) == 0.5
    (file,) = tmp_path.glob("*.json")
    kept = file.read_text()
    file.unlink()
    if score == "link":
        (home / "score.json").write_text('{"score": 1}')
        file.symlink_to(home / "score.json")
    elif score == "pipe":
        os.mkfifo(file)
    else:
        file.write_text(score)
    assert (trials.score(values, 2), trials.known) == (0.5, 0)
    assert not file.is_symlink()
    assert file.read_text() == kept
    assert (trials.score(values, 2), trials.known) == (0.5, 1)


# Pictures that change under our hands

SWAP = """
    import os, sys
    from pathlib import Path
    from pipeline.ingest import decoding

    picture, other, kind = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    done = []

    def swap(event, arguments):
        if event == "open" and not done and Path(str(arguments[0])).name == picture.name:
            done.append(True)
            if kind == "folder":  # the one above it becomes a link
                picture.parent.rename(picture.parent.with_name("was"))
                picture.parent.symlink_to(other.parent)
                return
            picture.unlink()
            os.mkfifo(picture) if kind == "pipe" else picture.symlink_to(other)

    content = decoding.content_id(other.read_bytes())
    sys.addaudithook(swap)
    try:
        decoding.decode_content(picture.parent.parent, content, [f"{picture.parent.name}/{picture.name}"])
        print("read")
    except decoding.UnreadableImage as error:
        print("refused", bool(done), error)
"""


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_a_picture_that_is_swapped_once_it_was_looked_at_is_not_read(tmp_path: Path, kind: str) -> None:
    catalogue = drawn(tmp_path / "catalogue", per_class=1)
    picture = catalogue.images / "finch" / "finch-00.png"
    other = tmp_path / "private" / picture.name
    other.parent.mkdir()
    shutil.copy(catalogue.images / "moth" / "moth-00.png", other)
    command = [sys.executable, "-P", "-c", textwrap.dedent(SWAP), str(picture), str(other), kind]
    env = environment(PYTHONPATH=str(REPOSITORY))
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS, env=env)
    assert done.stdout.startswith("refused True"), done.stdout


@pytest.mark.exhaustive
def test_pipes_and_links_among_pictures_fail_alone(tmp_path: Path, home: Path) -> None:
    catalogue = drawn(tmp_path / "catalogue", per_class=1)
    cf = Coldframe(tmp_path / "store")
    for name, kind in (("a", "pipe"), ("b", "folder"), ("c", "link"), ("d", "loop"), ("e", "device"), ("f", "socket")):
        catalogue.add(name, "finch")
        with made(kind, catalogue.images / "finch" / f"{name}.png", home):
            pass
    catalogue.write()
    cf.process("ingest", catalogue.metadata, "--images", catalogue.images, "--id", "id", code=3, timeout=SECONDS)
    assert cf.value("select count(*) from images") == 3
    assert cf.value("select count(*) from failures where reason <> ''") == 6


# Rows

NO_OBJECT = ["{", "[1]", "null", None, "[" * 5000]


@pytest.mark.parametrize("text", NO_OBJECT)
def test_settings_that_are_no_settings_give_a_sentence_that_names_the_row(foreign: Coldframe, text: str | None) -> None:
    with_rows(foreign, "steps", "settings", text)
    assert "plan 'default'" in told(foreign, "status", code=0), "among what is out of date"
    assert "plan 'default'" in told(foreign, "curate")
    assert "plan 'default'" in told(foreign, "filter", "cmyk")
    assert "the last ingest" in told(foreign, "embed", "mean-colour")


@pytest.mark.parametrize("setting", ["weights", "wanted"])
@pytest.mark.parametrize("named", ["a file", "a hole", "/proc/self/mem", "/proc/self/pagemap", "/x" * 50_000, "x\0y"])
def test_status_opens_no_file_that_only_a_store_names(
    foreign: Coldframe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, named: str
) -> None:
    place = Path(named) if "/" in named else tmp_path / named
    if named in ("a file", "a hole"):
        with place.open("xb") as file:
            file.truncate(1 << 42 if named == "a hole" else 10)
    foreign("score", "knn", "--embedder", "mean-colour")
    store = Store.open(foreign.path)
    scores = store.snapshot().select("scores")
    with store.commit("score") as commit:
        commit.replace("scores", scores.set_column(1, "scorer", pa.array(["imagenet"] * len(scores))), key="imagenet")
        commit.record_step(
            "score",
            "imagenet",
            settings={"embedder": "mean-colour", setting: str(place)},
            inputs={f"the file of {setting}": "0" * 64},
            seconds=1.0,
            rows_in=len(scores),
            rows_out=len(scores),
        )
    opened: list[str] = []
    really = opening.open_regular

    def watched(path: Path, **how: Any) -> io.BufferedReader:
        assert path != place
        opened.append(str(path))
        return really(path, **how)

    monkeypatch.setattr(opening, "open_regular", watched)
    said = told(foreign, "status", code=0)
    assert "out of date: score imagenet: changed since: embeddings of mean-colour\n" in said
    assert opened


def test_a_file_of_the_recipe_that_cannot_be_read_is_a_reason_of_its_step(foreign: Coldframe, tmp_path: Path) -> None:
    long = "x" * 5000
    recipe = tmp_path / "coldframe.toml"
    recipe.write_text(
        f'[ingest]\nmetadata = "{long}"\nimages = "."\n[score.knn]\n[embed.mean-colour]\nweights = "{long}"\n'
    )
    foreign("score", "knn", "--embedder", "mean-colour")
    result = CliRunner().invoke(cli, ["-s", str(foreign.path), "--config", str(recipe), "status"])
    assert result.exit_code == 0
    assert re.search(r"out of date: ingest: .*x: File name too long", result.output)
    assert "out of date: embed mean-colour: settings changed: weights" in result.output


@pytest.mark.parametrize("text", NO_OBJECT)
def test_inputs_that_are_no_inputs_give_one_too(foreign: Coldframe, text: str | None) -> None:
    with_rows(foreign, "steps", "inputs", text)
    assert "the inputs of step curate default" in told(foreign, "status", code=0)


@pytest.mark.parametrize("text", NO_OBJECT)
def test_stages_and_feature_sets_without_settings_give_one_too(foreign: Coldframe, text: str | None) -> None:
    with_rows(foreign, "stages", "settings", text)
    for command in (["curate"], ["filter", "cmyk"], ["keep", "finch-00", "--why", "x"]):
        assert "stage 1 of plan 'default'" in told(foreign, *command)
    for column in ("settings", "source"):
        with_rows(foreign, "feature_sets", column, text)
        assert f"the {column} of the feature set 'mean-colour'" in told(
            foreign, "verify", "--recompute", 1, "--embedder", "mean-colour"
        )
        with_rows(foreign, "feature_sets", column, '{"weights": "x"}')


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("settings", '{"share": "half"}'),
        ("settings", '{"share": 7}'),
        ("settings", '{"share": 0.5, "by": ["x"]}'),
        ("settings", '{"rule": "cmyk", "split": "x"}'),
        ("settings", '{"by": {}}'),
        ("kind", "x"),
        ("kind", None),
        ("name", None),
        ("name", ""),
        ("plan", None),
    ],
)
def test_a_plan_that_no_replay_kept_gives_a_sentence(foreign: Coldframe, column: str, value: str | None) -> None:
    with_rows(foreign, "stages", column, value)
    for command in (["filter", "cmyk"], ["status"], ["why", "finch-00"]):
        told(foreign, *command, code=(0, 1))
    told(foreign, "curate", code=0 if column == "plan" else 1)


@pytest.mark.parametrize("seed", ['"x"', "1e5", "null", str(2**70), "[]", "true"])
def test_a_seed_that_is_none_gives_a_sentence(foreign: Coldframe, seed: str) -> None:
    with_rows(foreign, "steps", "settings", f'{{"seed": {seed}}}')
    assert "seed" in told(foreign, "curate")


@pytest.mark.parametrize("value", [10**18, 2**31, 0, -1, True, "9", 1e6, None, [9]])
def test_a_limit_of_pixels_that_no_ingest_takes_gives_a_sentence(
    foreign: Coldframe, tmp_path: Path, value: Any
) -> None:
    (settings,) = {row["settings"] for row in foreign.rows("select settings from steps where step = 'ingest'")}
    with_rows(foreign, "steps", "settings", json.dumps({**json.loads(settings), "max_pixels": value}))
    (tmp_path / "photo.jpg").write_bytes(b"x")
    for command in (["predict", "c", tmp_path / "photo.jpg"], ["embed", "mean-colour", "--as", "again"]):
        assert "the settings of the last ingest: max_pixels = " in told(foreign, *command)


@pytest.mark.parametrize("value", [9_000, 10**8, 2**31 - 1])
def test_a_store_allows_no_more_pixels_than_a_quarter_of_the_memory_decodes(
    foreign: Coldframe, monkeypatch: pytest.MonkeyPatch, value: int
) -> None:
    monkeypatch.setattr("pipeline.ingest.examine.memory_bytes", lambda: 8_000_000_000)
    (settings,) = {row["settings"] for row in foreign.rows("select settings from steps where step = 'ingest'")}
    with_rows(foreign, "steps", "settings", json.dumps({**json.loads(settings), "max_pixels": value}))
    allowed = pictures.ingested_max_pixels(foreign.store.snapshot())
    assert allowed == min(value, max(decoding.MAX_PIXELS, 2_000_000_000 // examine.MEMORY_BYTES_A_PIXEL))


INJECTED = "1 |\n\n# pwn <img src=x onerror=alert(1)> [a](http://evil.example) "
EVALUATIONS: dict[str, tuple[str, pa.DataType, Any]] = {
    "rows in words": ("rows", pa.string(), INJECTED),
    "rows in bytes": ("rows", pa.binary(), INJECTED.encode()),
    "rows in lists": ("rows", pa.list_(pa.string()), [INJECTED]),
    "a time for rows": ("rows", pa.timestamp("us"), 0),
    "no rows": ("rows", pa.int64(), None),
    "fewer than no rows": ("rows", pa.int64(), -1),
    "accuracy in words": ("accuracy", pa.string(), "x"),
    "an interval in words": ("f1_macro_low", pa.string(), INJECTED),
    "hits in lists": ("top5", pa.list_(pa.float64()), [1.0]),
    "a leak in words": ("rows_trained_on", pa.string(), "a"),
    "a choice in words": ("rows_selected_on", pa.string(), INJECTED),
    "no name": ("evaluation", pa.string(), None),
    "another name": ("evaluation", pa.string(), INJECTED),
    "a number for a name": ("evaluation", pa.int64(), 5),
    "no split": ("split", pa.string(), None),
    "a split in bytes": ("split", pa.binary(), b"\xff"),
    "a run in lists": ("run_id", pa.list_(pa.string()), ["a"]),
}


@pytest.mark.parametrize("name", EVALUATIONS)
def test_export_makes_nothing_of_figures_that_no_evaluation_wrote(
    foreign: Coldframe, tmp_path: Path, name: str
) -> None:
    foreign("evaluate", "c")
    foreign("evaluate", "c", "--mask-by", "phylum")
    with_tables(foreign, "evaluations", lambda table: column(table, EVALUATIONS[name][0], *EVALUATIONS[name][1:]))
    said = told(foreign, "export", "c", "--output", tmp_path / "made")
    assert re.search("coldframe did not write|a part (cannot be read|has not the columns)", said), said
    assert not [path for path in tmp_path.iterdir() if "made" in path.name]


@pytest.mark.parametrize("name", ["val_accuracy_before", "val_loss_after", "helped"])
@pytest.mark.parametrize("kind", [pa.string(), pa.binary()])
def test_export_makes_nothing_of_a_fine_tuning_that_was_none(foreign: Coldframe, name: str, kind: pa.DataType) -> None:
    from pipeline.deploy import card_facts
    from pipeline.runs.runs import FINETUNED, Run

    run = replace(Run.find(foreign.store.snapshot(), "c"), kind=FINETUNED)
    assert card_facts._finetuned(foreign.store.snapshot(), run) is not None
    with_tables(foreign, "runs", lambda table: column(table, name, kind, "x"))
    with pytest.raises(ColdframeError, match="coldframe did not write"):
        card_facts._finetuned(foreign.store.snapshot(), run)


@pytest.mark.parametrize("is_absolute", [True, False])
def test_a_stage_is_never_a_file_of_somebody_else(foreign: Coldframe, tmp_path: Path, is_absolute: bool) -> None:
    evil = tmp_path / "evil.sql"
    evil.write_text(queries.text("rules/greyscale"))
    up = os.path.relpath(evil.with_suffix(""), queries.folder() / "rules")
    with_rows(foreign, "stages", "name", str(evil.with_suffix("")) if is_absolute else up)
    with_rows(foreign, "stages", "kind", "rule")
    with_rows(foreign, "stages", "settings", "{}")
    told(foreign, "curate")
    told(foreign, "filter", "cmyk")
    assert "no rule" in told(foreign, "status", code=0)
    with pytest.raises(ColdframeError):
        queries.text(f"rules/{up}")


RECORDS = ["{", "[1]", None, '{"weights": 3, "seed": "x", "stages": [{"split": "test"}], "images": 3, "metadata": [1]}']
DATASETS = (
    "feature_sets",
    "embeddings",
    "stages",
    "assignments",
    "curation",
    "runs",
    "models",
    "run_rows",
    "images",
    "files",
)


@pytest.mark.parametrize(
    "text", [*RECORDS, '{"feature set": "[1]"}', '{"feature set": "{\\"embedder\\": \\"mean-colour\\"}"}']
)
def test_repair_does_without_records_that_say_nothing(foreign: Coldframe, text: str | None) -> None:
    for column in ("settings", "inputs"):
        with_rows(foreign, "steps", column, text)
    damage(foreign, *DATASETS)
    told(foreign, "repair", "--dry-run", code=0)
    told(foreign, "repair", code=0)
    assert "nothing to repair" in told(foreign, "repair", code=0)


@pytest.mark.parametrize("text", RECORDS)
def test_repair_does_without_rows_that_say_nothing(foreign: Coldframe, text: str | None) -> None:
    for dataset in ("stages", "feature_sets", "runs"):
        with_rows(foreign, dataset, "settings", text)
    damage(foreign, "steps", "assignments", "embeddings", "models")
    told(foreign, "repair", code=0)
    assert "nothing to repair" in told(foreign, "repair", code=0)


@pytest.mark.parametrize("key", ["x", "/", "a/b/c", "-", "../x/y/z", "\x1b[2J", "x" * 3000])
def test_repair_does_with_keys_that_no_step_gave(foreign: Coldframe, key: str) -> None:
    old = foreign.store.snapshot().manifest
    datasets = {
        dataset: tuple(replace(part, key=key if part.rows else part.key) for part in live)
        for dataset, live in old.datasets.items()
    }
    manifest.publish(foreign.path, Manifest(old.number + 1, old.number, "", "x", datasets))
    damage(foreign, "runs", "models", "run_rows", "stages", "steps")
    told(foreign, "repair", code=0)
    assert "nothing to repair" in told(foreign, "repair", code=0)


COLUMNS: dict[str, tuple[str, Callable[[pa.Table], pa.Table]]] = {
    "an id that is a number": ("images", lambda table: column(table, "image_id", pa.int64(), 1)),
    "a label that is a list": ("images", lambda table: column(table, "label", pa.list_(pa.string()), ["x"])),
    "a width in words": ("images", lambda table: column(table, "width", pa.string(), "wide")),
    "a time in words": ("steps", lambda table: column(table, "created_at", pa.string(), "now")),
    "a position in words": ("stages", lambda table: column(table, "position", pa.string(), "first")),
    "classes in one": ("runs", lambda table: column(table, "classes", pa.string(), "moth")),
    "a vector in words": ("embeddings", lambda table: column(table, "vector", pa.string(), "x")),
    "no label": ("images", lambda table: table.drop(["label"])),
    "no settings": ("steps", lambda table: table.drop(["settings"])),
    "vectors of several lengths": ("embeddings", lambda table: lengths(table)),
}


def column(table: pa.Table, name: str, kind: pa.DataType, value: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array([value] * len(table), kind))


def lengths(table: pa.Table) -> pa.Table:
    vectors = [[1.0] * (1 + row % 3) for row in range(len(table))]
    return table.set_column(table.column_names.index("vector"), "vector", pa.array(vectors, pa.list_(pa.float32())))


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_that_no_step_wrote_fail_verify_with_a_sentence(foreign: Coldframe, name: str) -> None:
    with_tables(foreign, *COLUMNS[name])
    told(foreign, "verify", code=4)
    for command in (["inspect"], ["status"], ["runs"], ["sql", "select count(*) from images"]):
        told(foreign, *command, code=(0, 1))
    for command in (["repair"], ["gc", "--grace", "0s"]):
        told(foreign, *command, code=0)


@pytest.mark.parametrize("name", ["label", "path", "image_id"])
def test_bytes_that_are_no_text_fail_a_deep_verify(foreign: Coldframe, name: str) -> None:
    def spoil(table: pa.Table) -> pa.Table:
        raw = pa.array([b"\xff\xfe"] * len(table), pa.binary())
        text = (
            pa.Array.from_buffers(pa.string(), len(table), raw.buffers()) if len(table) else pa.array([], pa.string())
        )
        return table.set_column(table.column_names.index(name), name, text)

    with_tables(foreign, "images", spoil)
    assert "UTF8" in told(foreign, "verify", "--deep", code=4)
    told(foreign, "sql", "from images")
    told(foreign, "why", "finch-00")


@pytest.mark.parametrize(
    ("dataset", "name", "time"),
    [
        ("verdicts", "created_at", 2**63 - 5),
        ("verdicts", "created_at", 253_402_300_799_999_999),
        ("steps", "created_at", -(10**17)),
        ("feature_sets", "created_at", 2**63 - 5),
        ("facts", "taken_at", -(10**17)),
    ],
)
def test_a_time_that_no_calendar_has_gives_a_sentence(foreign: Coldframe, dataset: str, name: str, time: int) -> None:
    kind = SCHEMAS[dataset].field(name).type
    if dataset == "verdicts":
        foreign("keep", "finch-01", "--why", "x")
    with_tables(
        foreign,
        dataset,
        lambda table: table.set_column(
            table.column_names.index(name), name, pa.array([time] * len(table), pa.int64()).cast(kind)
        ),
    )
    said = f"{dataset} holds a time before the year 1 or at the end of 9999 or later"
    for command in (["status"], ["report", "x.html"], ["drop", "finch-00", "--why", "y"], ["curate"]):
        result = CliRunner().invoke(cli, ["-s", str(foreign.path), *command])
        assert "unexpected error" not in result.output
        assert isinstance(result.exception, SystemExit | None)
    assert said in foreign("verify", code=4).output
    if dataset == "verdicts":
        assert said in foreign("keep", "finch-00", "--why", "y", code=1).stderr


@pytest.mark.variants
@pytest.mark.parametrize(("kind", "levels"), [("lists", 40), ("structures", 90), ("lists", 17), ("structures", 400)])
def test_a_column_nested_without_end_gives_a_sentence(foreign: Coldframe, kind: str, levels: int) -> None:

    def nested(table: pa.Table) -> pa.Table:
        deep: Any = pa.array([1] * len(table))
        for _ in range(levels):
            deep = (
                pa.StructArray.from_arrays([deep], ["x"])
                if kind == "structures"
                else pa.ListArray.from_arrays(range(len(table) + 1), deep)
            )
        return table.append_column("z", deep)

    with_tables(foreign, "images", nested)
    for command in (["status"], ["inspect"], ["why", "finch-00"]):
        assert "coldframe did not write it" in foreign(*command, code=1).stderr
    foreign("verify", code=4)


@pytest.mark.parametrize("content", [b"", b"hello" * 100, b"PAR1" + b"\xff" * 100 + b"PAR1", b"a,b\n1,2\n"])
def test_a_part_that_is_no_parquet_file_fails_verify(foreign: Coldframe, content: bytes) -> None:
    old = foreign.store.snapshot().manifest
    part = parts.write_bytes(foreign.path, "images", "x", ".parquet", content)
    manifest.publish(foreign.path, Manifest(old.number + 1, old.number, "", "x", {**old.datasets, "images": (part,)}))
    for command in LOOKING:
        told(foreign, *command, code=(0, 1))
    told(foreign, "sql", "from images")
    assert str(foreign.path / part.path) in told(foreign, "verify", code=4)


@pytest.mark.parametrize("rows", [0, 1, 2**62])
def test_a_count_of_rows_that_is_not_so_fails_verify(foreign: Coldframe, rows: int) -> None:
    body = newest(foreign.path)
    body["number"] += 1
    part_of(body)["rows"] = rows
    seal(foreign.path, body)
    assert f"expected {rows}" in told(foreign, "verify", code=4)


# What does not fit into memory


def spilling(cf: Coldframe, folder: Path) -> subprocess.Popen[bytes]:
    """A query that has begun to spill."""
    folder.mkdir(exist_ok=True)
    query = "select count(*) from (select distinct hash(range) from range(300000000)) t"
    command = cf.command("sql", query, "--memory", "200MB")
    process = subprocess.Popen(
        command, env=environment(TMPDIR=str(folder)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + SECONDS
    while not any(path.is_file() for path in folder.rglob("*")):
        assert process.poll() is None, "it does not spill"
        assert time.monotonic() < end, "it does not spill"
        time.sleep(0.05)
    return process


@pytest.mark.exhaustive
def test_what_is_spilled_is_for_nobody_else_and_goes_with_the_next_process(foreign: Coldframe, tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    process = spilling(foreign, folder)
    try:
        spilled = [path for path in folder.rglob("*") if path.is_file()]
        for path in spilled:
            above = [one for one in path.parents if one != folder and folder in one.parents]
            assert any(stat.S_IMODE(one.stat().st_mode) == 0o700 for one in above), path
        left = list(folder.iterdir())
        foreign.process("status", env=environment(TMPDIR=str(folder)))
        assert [one for one in left if not one.exists()] == [], "its process is alive"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    end = time.monotonic() + SECONDS
    while list(folder.iterdir()) and time.monotonic() < end:  # the process that answers may take a moment to be gone
        foreign.process("status", env=environment(TMPDIR=str(folder)))
    assert list(folder.iterdir()) == []


def test_what_a_killed_process_left_goes_and_nothing_else(foreign: Coldframe, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    left = folder / "coldframe-spill-abcdefgh"
    theirs = [folder / "coldframe-spill-notes", folder / "coldframe-spill-", folder / "other-abcdefgh"]
    for one in (left, *theirs):
        one.mkdir(parents=True)
        (one / "file").write_text("x")
    left.chmod(0o700)
    (left / spill.MARK).touch()
    (folder / "coldframe-spill-abcdefg1").symlink_to(home)
    (folder / "coldframe-spill-abcdefg2").write_text("x")
    os.mkfifo(folder / "coldframe-spill-abcdefg3")
    before = tree(home)
    foreign.process("status", env=environment(TMPDIR=str(folder)), timeout=SECONDS)
    assert not left.exists()
    assert tree(home) == before
    assert sorted(one.name for one in folder.iterdir()) == sorted(
        [*(one.name for one in theirs), *(f"coldframe-spill-abcdefg{number}" for number in (1, 2, 3))]
    )


def test_a_system_without_locks_has_folders_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    script = """
        import errno, fcntl, os, stat
        from pathlib import Path

        def flock(*_):
            raise OSError(errno.ENOLCK, "no locks")

        fcntl.flock = flock
        from store import spill
        path = Path(spill.new())
        print(oct(stat.S_IMODE(path.parent.stat().st_mode)))
    """
    env = environment(PYTHONPATH=str(REPOSITORY), TMPDIR=str(tmp_path / "tmp"))
    assert run_python(script, env=env).strip() == "0o700"


def test_files_that_only_look_like_ours_stay(foreign: Coldframe) -> None:
    planted = [
        foreign.path / name
        for name in ("parts/images/2024.jpg", "parts/images/cafe.txt", "parts/abc/dead.doc", "manifests/20260101.json")
    ]
    for path in planted:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
        os.utime(path, (0, 0))
    foreign("gc", "--grace", "0s", code=1)  # a torn newest manifest: repair comes first
    foreign("repair")
    foreign("gc", "--grace", "0s")
    assert [path.exists() for path in planted] == [True, True, True, False]
    assert (foreign.path / "damaged" / "manifests" / "20260101.json").read_text() == "mine"


@pytest.mark.parametrize("path", ["parts/images/a.jpg", "parts/images/0.exe", "parts/evil/0.parquet"])
def test_a_part_of_another_kind_is_none_of_ours(path: str) -> None:
    assert not parts.is_path_of(path.split("/")[1], path)


BAD = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff")])
NESTED = {
    "large": pa.LargeStringArray.from_buffers(1, pa.py_buffer(bytes(8) + b"\2" + bytes(7)), pa.py_buffer(b"a\xff")),
    "list": pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), BAD),
    "struct": pa.StructArray.from_arrays([BAD], ["x"]),
    "dictionary": BAD.dictionary_encode(),
}


@pytest.mark.parametrize("kind", NESTED)
def test_text_that_is_none_fails_a_deep_verify_wherever_it_is(foreign: Coldframe, kind: str) -> None:
    def add(table: pa.Table) -> pa.Table:
        values = pa.chunked_array([NESTED[kind]] * len(table), NESTED[kind].type)
        return table.append_column("note", values.combine_chunks() if len(table) else values)

    with_tables(foreign, "images", add)
    said = told(foreign, "verify", "--deep", code=4)
    assert "FAILED columns" in said
    assert "cannot be read" in said


def test_statistics_that_are_not_so_fail_a_deep_verify(foreign: Coldframe) -> None:
    """DuckDB leaves rows unread by them."""
    body = newest(foreign.path)
    part = part_of(body)
    file = foreign.path / part["path"]
    data = file.read_bytes()
    statistics = pq.ParquetFile(file).metadata.row_group(0).column(2).statistics  # of labels
    least, most = statistics.min.encode(), statistics.max.encode()
    at = data.rindex(most)
    changed = data[:at] + b"a" * len(most) + data[at + len(most) :]
    assert changed != data
    assert least != most
    file.write_bytes(changed)
    part["sha256"] = hashlib.sha256(changed).hexdigest()
    seal(foreign.path, body)
    told(foreign, "verify", code=0)
    assert "its statistics do not match its values" in told(foreign, "verify", "--deep", code=4)


def put_part(cf: Coldframe, data: bytes) -> None:
    """Put other bytes in place of the newest part of the images, with checksums that are right."""
    body = newest(cf.path)
    part = part_of(body)
    (cf.path / part["path"]).write_bytes(data)
    part |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    seal(cf.path, body)


def plain(cf: Coldframe, **options: Any) -> bytes:
    """The newest part of the images, written so that its pages can be edited; its width, which may be NULL, is first."""
    table = pq.read_table(cf.path / part_of(newest(cf.path))["path"])
    order = ["width", *(name for name in table.column_names if name != "width")]
    buffer = io.BytesIO()
    pq.write_table(table.select(order), buffer, compression="none", store_schema=False, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("beside", [None, "read", "row_hash", "one"])
def test_a_part_that_two_readers_read_differently_fails_a_deep_verify(
    foreign: Coldframe, monkeypatch: pytest.MonkeyPatch, beside: str | None
) -> None:
    """Arrow heeds what the header of a page says of its encoding, and DuckDB does not. Statistics may be made to fit both."""
    if beside is not None:  # a column that a query might take for something of its own
        with_tables(
            foreign, "images", lambda table: table.append_column(beside, pa.array([1] * len(table), pa.int64()))
        )
    data = bytearray(plain(foreign, use_dictionary=False))
    at = data.index(b"\x15\x06\x15\x06")  # definition and repetition levels: run lengths
    data[at + 1] = 8  # bits, packed
    put_part(foreign, bytes(data))
    monkeypatch.setattr(footers, "problem", lambda theirs, ours, values: None)
    assert "its values depend on what reads them" in told(foreign, "verify", "--deep", code=4)


@pytest.mark.parametrize("offset", [1, 2, 3])
def test_a_column_does_not_begin_before_the_first(foreign: Coldframe, offset: int) -> None:
    """DuckDB passes over such a place, and Arrow begins to read there."""
    data = plain(foreign)

    def begin(of: bytes) -> int | None:
        with suppress(OSError, pa.ArrowException):
            found: int = pq.ParquetFile(io.BytesIO(of)).metadata.row_group(0).column(0).dictionary_page_offset
            return found
        return None

    assert begin(data) == 4
    places = [one.end() - 1 for one in re.finditer(rb"\x26\x08", data)]  # a step of two fields, and four as a varint
    changed = (data[:at] + bytes([2 * offset]) + data[at + 1 :] for at in places)
    put_part(foreign, next(one for one in changed if begin(one) == offset))
    assert "FAILED columns" in told(foreign, "verify", "--deep", code=4)


@pytest.mark.parametrize("name", ["split", "SPLIT"])
def test_a_column_that_ingest_would_rename_has_no_say(foreign: Coldframe, name: str) -> None:
    before = foreign.rows("select image_id, split from splits order by image_id")
    with_tables(
        foreign, "images", lambda table: table.append_column(name, pa.array(["train"] * len(table), pa.string()))
    )
    assert "it has a column called split, which coldframe does not write" in told(foreign, "verify", code=4)
    foreign("curate")
    assert foreign.rows("select image_id, split from splits order by image_id") == before


def test_a_column_of_ones_own_in_another_dataset_fails_verify(foreign: Coldframe) -> None:
    with_tables(foreign, "embeddings", lambda table: table.append_column("y", pa.array([1] * len(table), pa.int64())))
    assert "it has a column called y, which coldframe does not write" in told(foreign, "verify", code=4)


@pytest.mark.parametrize("kind", [pa.int32(), pa.struct([("a", pa.int32())])])
def test_columns_that_change_their_type_from_part_to_part_fail_verify(foreign: Coldframe, kind: pa.DataType) -> None:
    """DuckDB reads all parts by the types of the first, which may have no row."""
    types = iter([pa.string(), kind] * 9)
    with_tables(foreign, "images", lambda table: table.append_column("zz", pa.nulls(len(table), next(types))))
    assert "in another part" in told(foreign, "verify", code=4)


def test_a_column_of_another_width_fails_verify(foreign: Coldframe) -> None:
    def narrow(table: pa.Table) -> pa.Table:
        place = table.column_names.index("bytes")
        return table.set_column(place, "bytes", table["bytes"].cast(pa.int32()))

    with_tables(foreign, "images", narrow)
    assert "its bytes is int32, expected int64" in told(foreign, "verify", code=4)


def test_rows_that_no_group_has_fail_verify(foreign: Coldframe) -> None:
    body = newest(foreign.path)
    part_of(body)["rows"] = 5
    seal(foreign.path, body)
    assert "expected 5" in told(foreign, "verify", code=4)


@pytest.mark.parametrize("network", ["--config=/tmp/evil.toml", "-q"])
def test_repair_says_no_network_that_would_be_an_option(foreign: Coldframe, network: str) -> None:
    with_rows(foreign, "feature_sets", "network", network)
    damage(foreign, "embeddings")
    said = told(foreign, "repair", "--dry-run", code=(0, 1, 4))
    assert network not in said
    assert "coldframe did not write its record" in said


def test_a_set_with_a_nul_in_its_name_is_said(foreign: Coldframe) -> None:
    with_rows(foreign, "feature_sets", "embedder", "a\0b")
    foreign("embed", "mean-colour", "--as", "another", "--limit", 1)
    assert "a name with a NUL character" in told(foreign, "verify", "--recompute", 1)


def test_a_column_that_is_there_twice_but_for_its_case_fails_verify(foreign: Coldframe) -> None:
    with_tables(foreign, "images", lambda table: table.append_column("LABEL", table["label"]))
    assert "2 columns called label, expected one" in told(foreign, "verify", code=4)


def test_a_long_text_that_stands_a_million_times_is_read_once(foreign: Coldframe) -> None:
    rows, text = 20_000, pa.array(["x" * 10**6])
    long = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), text)
    table = pa.table(
        {one.name: long if one.name == "reason" else pa.nulls(rows, one.type) for one in SCHEMAS["failures"]}
    )
    file = foreign.path / "bomb.parquet"
    pq.write_table(table, file, store_schema=False, dictionary_pagesize_limit=1 << 30, write_batch_size=rows)
    data = file.read_bytes()
    assert len(data) < 100_000
    final = foreign.path / "parts" / "failures" / f"{HEX}.parquet"
    file.rename(final)
    part = parts.Part(f"parts/failures/{HEX}.parquet", "bomb", rows, len(data), hashlib.sha256(data).hexdigest())
    before = pa.default_memory_pool().max_memory()
    moment = dataclasses.replace(manifest.EMPTY, datasets={"failures": (part,)})
    with inside.Parts(foreign.path, moment) as held:
        said = [problem for _, problem in held.problems("failures", [part], deep=True)]
    assert not said or "do not match" in said[0]
    assert pa.default_memory_pool().max_memory() < before + 500_000_000


@pytest.mark.parametrize("name", ["--help", "-x", "--config=/tmp/evil.toml"])
def test_repair_says_no_name_that_would_be_an_option(foreign: Coldframe, name: str) -> None:
    with_rows(foreign, "stages", "plan", name)
    body = newest(foreign.path)
    for dataset in ("curation", "stages", "assignments"):
        for part in body["datasets"][dataset]:
            part["key"] = name if part["rows"] else part["key"]
    seal(foreign.path, body)
    damage(foreign, "curation")
    said = told(foreign, "repair", "--dry-run", code=(0, 1, 4))
    assert f"curate --plan {name}" not in said


def test_a_split_with_a_slash_is_refused(foreign: Coldframe) -> None:
    assert "a split called 'b/c': expected a name without a slash" in told(foreign, "split", "b/c", "0.1")


def test_a_store_in_the_working_folder_that_is_a_link_is_not_taken_unasked(foreign: Coldframe, tmp_path: Path) -> None:
    Path("coldframe-store").symlink_to(foreign.path)
    result = CliRunner().invoke(cli, ["status"])
    assert result.exit_code == 1
    assert "coldframe-store: a link; name the store that it leads to with --store" in result.output
    assert CliRunner().invoke(cli, ["-s", "coldframe-store", "status"]).exit_code == 0


def test_parts_of_two_types_fail_a_deep_verify_whatever_is_read_first(foreign: Coldframe) -> None:
    """Queries read them together, and would change values of one."""
    body = newest(foreign.path)
    whole = part_of(body)
    table = pq.read_table(foreign.path / whole["path"])
    live = body["datasets"]["images"]
    for number, values in enumerate((pa.nulls(2), pa.array([2**53 + 1, 5]), pa.array([0.5, 1.5]))):
        one = dict(whole)
        one["path"] = f"parts/images/{number:032x}.parquet"
        pq.write_table(
            table.slice(2 * number, 2).append_column("more", values), foreign.path / one["path"], compression="zstd"
        )
        data = (foreign.path / one["path"]).read_bytes()
        live.append(one | {"rows": 2, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)})
    live.remove(whole)
    seal(foreign.path, body)
    assert "its more is double, in another part int64" in told(foreign, "verify", "--deep", code=4)


@pytest.mark.parametrize("name", ["\u212aind", "KIND", "k\u0131nd"])
def test_a_name_that_only_looks_alike_is_another(foreign: Coldframe, name: str) -> None:
    with_tables(
        foreign,
        "stages",
        lambda table: table.rename_columns([name if one == "kind" else one for one in table.column_names]),
    )
    told(foreign, "verify", code=0 if name == "KIND" else 4)
