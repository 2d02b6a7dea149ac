"""Pictures and models of strangers: what never ends, takes all there is, or is no file, is said and leaves nothing running."""

from __future__ import annotations

import ast
import io
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.deploy import (
    artefact,
    artefact_predictor,
    cards,
    fresh_process,
    model_process,
    ownership,
    predict,
    sources,
)
from pipeline.deploy.predict import open_model
from pipeline.evaluate import predictors
from pipeline.ingest import decoding
from pipeline.ingest.decoding import UnreadableImage, decode
from pipeline.runs.runs import Run
from pipeline.runtime import quiet
from pipeline.train import classifier
from store import memory, opening
from store.errors import ColdframeError
from store.memory import memory_bytes
from tests.support import artefacts
from tests.support.artefacts import CLASSES, put_card
from tests.support.coldframe import REPOSITORY, Catalogue, Coldframe, environment, parts_of, picture

pytestmark = [pytest.mark.slow, pytest.mark.variants]

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

PATIENCE = 120  # seconds, after which a process hangs
MARK = "COLDFRAME_TEST_MARK"  # a variable that all processes of a test have, also those whose parents are gone


# Processes of their own, and what they leave running


@pytest.fixture
def mark() -> Iterator[str]:
    """What a test's processes are known by; those that are left are ended."""
    own = uuid.uuid4().hex
    yield own
    for pid in marked(own):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def marked(mark: str) -> list[int]:
    """The processes that run with a mark in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                is_ours = f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0")
                if is_ours and "\nState:\tZ" not in (entry / "status").read_text():
                    found.append(int(entry.name))
    return found


def nothing_runs(mark: str) -> bool:
    """Whether all processes with a mark end by themselves."""
    for _ in range(400):
        if not marked(mark):
            return True
        time.sleep(0.05)
    return False


def run(
    mark: str, *command: object, stdin: Any = subprocess.DEVNULL, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """A process that ends, whatever it says, and leaves none behind."""
    process = subprocess.Popen(
        list(map(str, command)),
        stdin=stdin,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(PYTHONPATH=str(REPOSITORY), **{MARK: mark}, **variables),
    )
    try:
        said, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert "Traceback" not in errors
    assert "unforeseen" not in errors
    assert nothing_runs(mark)
    return subprocess.CompletedProcess(process.args, process.returncode, said, errors)


def coldframe(store: Path, *arguments: object) -> list[str]:
    return [sys.executable, "-P", "-m", "pipeline", "-s", str(store), *map(str, arguments)]


def program(*lines: str) -> list[str]:
    return [sys.executable, "-P", "-c", "\n".join(lines)]


# Models, by hand

FLOAT = onnx.TensorProto.FLOAT
node, constant = onnx.helper.make_node, onnx.numpy_helper.from_array


def saved_model(nodes: Sequence[Any], **constants: Any) -> bytes:
    """An ONNX model whose nodes begin with ``mean``, the mean of each picture as (n, 1), and give both outputs."""
    first = [
        node("Cast", ["pictures"], ["floats"], to=FLOAT),
        node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
        node("Unsqueeze", ["means", "one"], ["mean"]),
    ]
    held = {
        "axes": np.array([1, 2, 3]),
        "one": np.array([1]),
        "three": np.array([[0.01, 0, 0]], np.float32),
        "four": np.ones((1, 4), np.float32),
        **constants,
    }
    graph = onnx.helper.make_graph(
        [*first, *nodes],
        "model",
        [onnx.helper.make_tensor_value_info("pictures", onnx.TensorProto.UINT8, ["n", 8, 6, 3])],
        [onnx.ValueInfoProto(name=name) for name in ("probabilities", "vectors") if named(nodes, name)],
        [constant(np.asarray(value), name) for name, value in held.items()],
    )
    opset = onnx.helper.make_opsetid("", 18)
    data: bytes = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9).SerializeToString()
    return data


def named(nodes: Sequence[Any], name: str) -> bool:
    return any(name in one.output for one in nodes)


def ends(of: str = "mean") -> list[Any]:
    """The nodes from (n, 1) to probabilities of three classes and vectors of four numbers."""
    return [
        node("MatMul", [of, "three"], ["levels"]),
        node("Softmax", ["levels"], ["probabilities"], axis=1),
        node("MatMul", [of, "four"], ["vectors"]),
    ]


def endless(trips: str, condition: str, of: str = "mean") -> Any:
    """A Loop that gives ``looped``."""
    info = onnx.helper.make_tensor_value_info
    body = onnx.helper.make_graph(
        [node("Identity", ["goes_on"], ["goes_on_still"]), node("Identity", ["value"], ["value_still"])],
        "body",
        [
            info("at", onnx.TensorProto.INT64, []),
            info("goes_on", onnx.TensorProto.BOOL, []),
            info("value", FLOAT, None),
        ],
        [info("goes_on_still", onnx.TensorProto.BOOL, []), info("value_still", FLOAT, None)],
    )
    return node("Loop", [trips, condition, of], ["looped"], body=body)


def planted(folder: Path, model: bytes | dict[str, bytes] | None = None, **other: Any) -> Path:
    """An artefact; its model tells pictures apart by how bright they are, unless it is another."""
    folder.mkdir()
    given = saved_model(ends()) if model is None else model
    files = {"model.onnx": given} if isinstance(given, bytes) else given
    for name, data in {**files, "decoding.py": b""}.items():
        (folder / name).write_bytes(data)
    return put_card(folder, [*files, "decoding.py"], **other)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / "photo.png"
    picture("moth", 1).save(file)
    return file


def encoded(image: Image.Image, fmt: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


# What is no picture of pixels

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n%%EOF\n"


def in_iptc(data: bytes, compression: int = 1) -> bytes:
    """A picture that holds a file of any format."""

    def field(record: int, number: int, value: bytes) -> bytes:
        return struct.pack(">BBBH", 0x1C, record, number, len(value)) + value

    size = field(3, 20, b"\0\x09") + field(3, 30, b"\0\x09")
    layers = field(3, 60, b"\x01\x00") + field(3, 65, b"\x01")
    return layers + size + field(3, 120, bytes([compression])) + field(8, 10, data)


PROGRAMS = {
    "eps": EPS,
    "eps with a header for DOS": struct.pack("<4sIIIIIIH", b"\xc5\xd0\xd3\xc6", 32, len(EPS), 0, 0, 0, 0, 0xFFFF) + b"\0\0" + EPS,
    "postscript": EPS.replace(b" EPSF-3.0", b""),
    "eps in iptc": in_iptc(EPS),
    "eps in iptc, said to be a jpeg": in_iptc(EPS, 5),
    "iptc in iptc": in_iptc(in_iptc(EPS)),
}  # fmt: skip


def ghostscript(folder: Path, seconds: int) -> tuple[str, Path]:
    """A PATH with a program ``gs`` that leaves a mark, and takes its time in a child of its own; and the mark."""
    folder.mkdir()
    run_by = folder / "ran"
    (folder / "gs").write_text(f'#!/bin/sh\necho "$@" >> {run_by}\n[ "$1" = --version ] || sleep {seconds}\n')
    (folder / "gs").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}", run_by


@pytest.mark.parametrize("kind", PROGRAMS)
def test_no_program_is_run_for_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    path, run_by = ghostscript(tmp_path / "bin", 0)
    monkeypatch.setenv("PATH", path)
    with pytest.raises(UnreadableImage, match=r"PostScript|not an image"):
        decode(PROGRAMS[kind])
    assert not run_by.exists()


@pytest.mark.exhaustive
def test_no_program_is_run_by_commands(tmp_path: Path, mark: str) -> None:
    path, run_by = ghostscript(tmp_path / "bin", 1000)
    images = tmp_path / "images"
    images.mkdir()
    for number, data in enumerate(PROGRAMS.values()):
        (images / f"{number}.jpg").write_bytes(data)
    picture("moth", 1).save(images / "photo.png")
    done = run(mark, *coldframe(tmp_path / "s", "ingest", images, "--max-seconds", 5), PATH=path)
    assert (done.returncode, "1 ready, 6 failed" in done.stderr) == (3, True), done.stderr
    folder = planted(tmp_path / "model")
    done = run(mark, *coldframe(tmp_path / "s", "predict", folder, images, "--format", "json"), PATH=path)
    assert done.returncode == 3, done.stderr
    rows = json.loads(done.stdout)
    assert len({row["path"] for row in rows if row["failed"]}) == len(PROGRAMS)
    for data in (EPS, PROGRAMS["eps with a header for DOS"]):
        (tmp_path / "given").write_bytes(data)
        with (tmp_path / "given").open("rb") as stdin:
            run(mark, *coldframe(tmp_path / "s", "predict", folder, "-"), stdin=stdin, PATH=path)
    assert not run_by.exists()


@pytest.mark.parametrize(
    "fmt",
    ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "PCX", "SGI", "JPEG2000", "AVIF", "ICO", "ICNS", "DDS", "DIB",
     "IM", "MPO", "QOI"],
)  # fmt: skip
def test_pictures_of_pixels_are_read(fmt: str) -> None:
    found = decode(encoded(Image.new("RGB", (32, 32), (200, 60, 40)), fmt)).image
    assert np.abs(np.asarray(found).mean((0, 1)) - (200, 60, 40)).max() < 4


def test_a_format_that_pillow_does_not_have_is_no_error() -> None:
    lines = [
        "from PIL import Image",
        "Image.init()",
        "for one in ('AVIF', 'QOI', 'JPEG2000'): Image.OPEN.pop(one, None)",
    ]
    lines += ["import decoding", f"print(decoding.decode({encoded(picture('moth', 1), 'TGA')!r}).format)"]
    lines += ["try: decoding.decode(b'x')", "except decoding.UnreadableImage as error: print(error)"]
    where = {"PYTHONPATH": str(REPOSITORY / "pipeline" / "ingest")}  # as the file stands beside a model, alone
    done = subprocess.run(program(*lines), env=environment(**where), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["TGA", "not an image, or of a format that Pillow does not know"]


def test_every_picture_is_opened_by_the_formats_that_are_allowed() -> None:
    """And none by what would open what is inside another."""
    calls = 0
    for file in (*(REPOSITORY / "pipeline").rglob("*.py"), *(REPOSITORY / "store").rglob("*.py")):
        for one in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(one, ast.ImportFrom) and (one.module or "").split(".")[0] == "PIL":
                assert not {alias.name for alias in one.names} & {"open", "ImageFile", "ImageShow", "ImageGrab"}, file
                assert all(alias.asname is None for alias in one.names), f"{file}: under a name of its own"
            if isinstance(one, ast.Import):
                assert not any(alias.name.split(".")[0] == "PIL" for alias in one.names), file
            if isinstance(one, ast.Attribute):
                assert one.attr not in ("get_child_images", "load_img", "read_file", "decode_image"), file
                if one.attr == "open" and isinstance(one.value, ast.Name) and one.value.id == "Image":
                    calls += 1
            if (
                isinstance(one, ast.Call)
                and isinstance(one.func, ast.Attribute)
                and ast.unparse(one.func) == "Image.open"
            ):
                assert [word.arg for word in one.keywords] == ["formats"], f"{file}, line {one.lineno}"
                calls -= 1
    assert calls == 0, "Image.open is called, and not handed on"


def icon(data: bytes, *, fmt: str) -> bytes:
    """An icon of 16 pixels, by what it says, that holds another picture."""
    if fmt == "ICO":
        return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(data), 22) + data
    return b"icns" + struct.pack(">I", 16 + len(data)) + b"icp4" + struct.pack(">I", 8 + len(data)) + data


@pytest.mark.parametrize("fmt", ["ICO", "ICNS"])
@pytest.mark.parametrize("side", [110, 180, 4000])
def test_what_is_inside_an_icon_has_the_same_limit(fmt: str, side: int) -> None:
    inside = encoded(Image.new("L", (side, side)), "PNG")
    with pytest.raises(UnreadableImage, match=r"over the pixel limit of 10000|not one of the allowed sizes"):
        decode(icon(inside, fmt=fmt), max_pixels=10_000)


# What is no file


def odd_files(folder: Path) -> dict[str, str]:
    """Files of every kind that is none, by name, and why."""
    folder.mkdir()
    os.mkfifo(folder / "pipe.jpg")
    (folder / "device.jpg").symlink_to("/dev/zero")
    (folder / "terminal.jpg").symlink_to("/dev/ptmx")
    (folder / "round.jpg").symlink_to("round.jpg")
    (folder / "nowhere.jpg").symlink_to("gone.jpg")
    (folder / "to a pipe.jpg").symlink_to("pipe.jpg")
    with (folder / "sparse.jpg").open("wb") as file:
        file.truncate(40 << 30)
    (folder / "two\nlines.jpg").write_bytes(b"x")
    (folder / os.fsdecode(b"\xff.jpg")).write_bytes(b"x")
    (folder / "empty.jpg").touch()
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as one:
        os.chdir(folder)  # the name of a socket may not be long
        one.bind("socket.jpg")
        os.chdir(here)
    return {
        "pipe.jpg": "a pipe",
        "device.jpg": "a device",
        "terminal.jpg": "a device",
        "round.jpg": "a link",
        "nowhere.jpg": "missing",
        "to a pipe.jpg": "a pipe",
        "sparse.jpg": "over the limit of",
        "two\nlines.jpg": "not an image",
        "\\xff.jpg": "not an image",
        "empty.jpg": "empty file",
        "socket.jpg": "a socket",
        "gone/photo.jpg": "missing",
        f"{'a' * 300}.jpg": "cannot be read",
    }


@pytest.mark.exhaustive
def test_predict_waits_for_nothing_that_is_no_file(tmp_path: Path, mark: str, photo: Path) -> None:
    expected = odd_files(tmp_path / "odd")
    names = [os.fsdecode(b"\xff.jpg") if name == "\\xff.jpg" else name for name in expected]
    given = [tmp_path / "odd" / name for name in names]
    (tmp_path / "list").write_bytes(b"\n".join(os.fsencode(one) for one in given if "\n" not in one.name))
    command = coldframe(tmp_path / "s", "predict", planted(tmp_path / "model"), "--format", "json", photo)
    done = run(mark, *command, *given)
    assert done.returncode == 3
    rows = json.loads(done.stdout)
    found = {Path(row["path"]).relative_to(tmp_path).as_posix(): row["failed"] for row in rows}
    assert found.pop("photo.png") is None
    assert found.keys() == {f"odd/{name}" for name in expected}
    assert all(expected[path.removeprefix("odd/")] in reason for path, reason in found.items()), found
    with (tmp_path / "list").open("rb") as stdin:
        listed = json.loads(run(mark, *command, "-", stdin=stdin).stdout)
    assert [row["failed"] for row in listed if row["failed"]] == [r for p, r in found.items() if "\n" not in p]


@pytest.mark.exhaustive
def test_ingest_waits_for_nothing_that_is_no_file(tmp_path: Path, mark: str) -> None:
    expected = odd_files(tmp_path / "odd")
    names = [name for name in expected if "\n" not in name and "xff" not in name]
    (tmp_path / "m.csv").write_text("path\n" + "".join(f"{name}\n" for name in names))
    store = Coldframe(tmp_path / "s")
    done = run(mark, *coldframe(store.path, "ingest", tmp_path / "m.csv", "--images", tmp_path / "odd"))
    assert done.returncode == 3, done.stderr
    assert store.value("select count(*) from failures") == len(names)


def put_pipe(file: Path) -> None:
    os.mkfifo(file)


def put_link(file: Path) -> None:
    outside = file.parent.parent / "secret.png"
    picture("finch", 2).save(outside)
    file.symlink_to(outside)


def put_link_to_device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def put_folder(file: Path) -> None:
    file.mkdir()


@pytest.mark.parametrize("put", [put_pipe, put_link, put_link_to_device, put_folder])
@pytest.mark.parametrize("after", ["locate", "open_regular"])
def test_what_is_put_there_after_the_check_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put: Callable[[Path], None], after: str
) -> None:
    root = tmp_path / "images"
    root.mkdir()
    file = root / "photo.png"
    picture("moth", 1).save(file)
    where: Any = decoding if after == "locate" else opening
    real = getattr(where, after)

    def swap() -> None:
        file.unlink()
        put(file)

    def swapping(*given: Any, **options: Any) -> Any:
        if after == "open_regular":  # at the last moment: all looks at the file were before
            swap()
            return real(*given, **options)
        found = real(*given, **options)
        swap()
        return found

    monkeypatch.setattr(where, after, swapping)
    with pytest.raises(UnreadableImage, match=r"a pipe|a link|a folder|a device|outside"):
        decoding.decode_content(root, decoding.content_id(file.read_bytes()), ["photo.png"])


def test_a_file_takes_no_more_memory_than_it_has_bytes(photo: Path) -> None:
    """However large a picture may be."""
    import tracemalloc

    tracemalloc.start()
    data = decoding.read_bytes(photo, most=decoding.most_bytes(cards.MOST_PIXELS))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert data == photo.read_bytes()
    assert peak < 4 << 20


# Folders and standard input


def test_links_of_a_folder_lead_nowhere_else(tmp_path: Path, photo: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "in\nside").mkdir(parents=True)
    for name in ("a.png", "in\nside/b.png"):
        picture("moth", 1).save(folder / name)
    (folder / "again.png").symlink_to("a.png")
    (folder / "away.png").symlink_to(photo)
    (folder / "up").symlink_to("..")
    (folder / "self").symlink_to(".")
    (folder / "elsewhere").symlink_to(tmp_path)
    (folder / "round.png").symlink_to("round.png")
    os.mkfifo(folder / "pipe.png")
    found = sources.expand([str(folder)])
    assert [str(one) for one in found] == [str(folder / name) for name in ("a.png", "again.png", "in\nside/b.png")]
    assert sources.expand(["a" * 5000]) == ["a" * 5000]
    model = open_model(planted(tmp_path / "model"))
    (tmp_path / "named").symlink_to(folder)
    named = [str(folder / "away.png"), *sources.expand([str(tmp_path / "named")])]
    answers = list(model.predict([*found, *named]))
    assert [one.failed for one in answers] == [None] * 7
    assert answers[-1].path == str(tmp_path / "named" / "in\nside" / "b.png")


class Asking(predictors.Predictor):
    """A model that would not have to compute what it knows, and knows nothing."""

    name, classes, max_pixels, knows, size = "model", np.array(CLASSES), 2**31 - 1, True, (8, 6)

    def prepare(self, image: Image.Image) -> Any:
        return np.asarray(image)

    def run(self, prepared: Sequence[Any]) -> predictors.Found:
        return predictors.Found(np.full((len(prepared), 3), 1 / 3), None)

    def taxonomy(self, asked: Any) -> Any:
        return {}

    def neighbours(self) -> None:
        return None


def swap_file(folder: Path, outside: Path) -> None:
    (folder / "in" / "photo.png").unlink()
    (folder / "in" / "photo.png").symlink_to(outside / "photo.png")


def swap_file_for_a_way_up(folder: Path, outside: Path) -> None:
    (folder / "in" / "photo.png").unlink()
    (folder / "in" / "photo.png").symlink_to("../../outside/photo.png")


def swap_folder(folder: Path, outside: Path) -> None:
    (folder / "in").rename(folder / "was")
    (folder / "in").symlink_to(outside)


def swap_twice(folder: Path, outside: Path) -> None:
    (folder / "deeper").symlink_to(outside)
    (folder / "in" / "photo.png").unlink()
    (folder / "in" / "photo.png").symlink_to("../deeper/photo.png")


@pytest.mark.parametrize("knows", [True, False])
@pytest.mark.parametrize("swap", [swap_file, swap_file_for_a_way_up, swap_folder, swap_twice])
def test_a_link_that_is_put_into_a_folder_later_leads_nowhere_else(
    tmp_path: Path, swap: Callable[[Path, Path], None], knows: bool
) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    for one in (folder / "in", outside):
        one.mkdir(parents=True)
        picture("moth", 1).save(one / "photo.png")
    picture("finch", 1).save(folder / "other.png")
    model = predict.Model(Asking()) if knows else open_model(planted(tmp_path / "model"))
    found = sources.expand([str(folder)])
    swap(folder, outside)
    first, second = model.predict(found)
    assert (first.path, second.path) == (str(folder / "in" / "photo.png"), str(folder / "other.png"))
    assert "leaves the image folder, by its path or through a link" in str(first.failed)
    assert second.failed is None


@pytest.mark.exhaustive
def test_what_is_not_of_an_artefact_is_said(tmp_path: Path, mark: str, photo: Path) -> None:
    folder = planted(tmp_path / "model")
    command = coldframe(tmp_path / "s", "predict", folder, photo)
    assert "not part of the artefact" not in run(mark, *command).stderr
    (folder / "pipeline").mkdir()
    for name in ("pipeline/__init__.py", "onnxruntime.py", "two\nlines\x1b[2J.py"):
        (folder / name).write_text("raise SystemExit('it ran')")
    said = run(mark, *command, cwd=folder).stderr
    assert "3 of its files are not part of the artefact" in said
    assert "onnxruntime.py, pipeline" in said
    assert "\x1b" not in said
    for number in range(100):
        (folder / f"{number:03d}.txt").touch()
    said = run(mark, *command).stderr
    assert "103 of its files are not part of the artefact, and were not looked at: 000.txt, " in said
    assert "099.txt" not in said


STDIN = (
    "import resource, sys",
    "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))",
    "from pipeline.ingest import decoding; from pipeline.deploy import sources",
    "from store.errors import ColdframeError",
    "decoding.MAX_BYTES, sources.MOST_LIST = 1 << 22, 1 << 12",
    "try: print([type(one).__name__ for one in sources.expand(['-'])])",
    "except ColdframeError as error: print(error)",
)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("cat /dev/zero", "more than 4194304 bytes"),
        ("yes photo.jpg", "more than 4194304 bytes"),
        ("head -c 5000000 /dev/urandom", "more than 4194304 bytes"),
        (
            "yes photo.jpg | head -c 100000",
            "['bytes']",
        ),  # so long a list is taken for a picture, and decoded within limits
        ("printf 'a.jpg\\nb.jpg\\n'", "['str', 'str']"),
        ("true", "nothing on standard input"),
    ],
)
def test_standard_input_is_bounded(mark: str, given: str, said: str) -> None:
    with subprocess.Popen(["sh", "-c", given], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as source:
        done = run(mark, *program(*STDIN), stdin=source.stdout)
        assert source.stdout is not None
        source.stdout.close()
    assert said in done.stdout


# Pictures that take long, or much


def many_pages(count: int) -> bytes:
    """A TIFF; Pillow looks at each page for each other one."""
    tags = ((256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 0), (277, 1), (278, 1), (279, 1))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    length = len(entries) + 6
    pages = (
        struct.pack("<H", len(tags)) + entries + struct.pack("<I", 8 + length * (page + 1) if page + 1 < count else 0)
        for page in range(count)
    )
    return struct.pack("<2sHI", b"II", 42, 8) + b"".join(pages)


def many_frames(count: int) -> bytes:
    frames = [Image.new("L", (1, 1), shade) for shade in (0, 255)]
    two = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    start = two.index(b"\x21\xf9")
    return two[:start] + two[start:-1] * (count // 2) + two[-1:]


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Small pictures that take seconds, and one that takes minutes."""
    folder = tmp_path_factory.mktemp("slow")
    (folder / "frames.gif").write_bytes(many_frames(1_000_000))
    (folder / "pages.tif").write_bytes(many_pages(60_000))
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("large") / "large.png"
    Image.new("L", (9000, 9000)).save(file)
    return file


@pytest.mark.exhaustive
def test_a_picture_that_takes_too_long_fails_alone(tmp_path: Path, mark: str, slow: list[Path], photo: Path) -> None:
    folder = planted(tmp_path / "model", max_pixels=10**8)
    command = coldframe(tmp_path / "s", "predict", folder, "--max-seconds", 0.5, "--format", "json")
    rows = json.loads(run(mark, *command, *slow, photo, *slow).stdout)
    failed = [row["failed"] for row in rows if row["failed"]]
    assert failed == ["cannot be decoded: it took longer than 0.5 seconds"] * 4
    assert [row["rank"] for row in rows if not row["failed"]] == [1, 2, 3]


def test_a_picture_that_takes_much_memory_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: Path, photo: Path
) -> None:
    from pipeline.ingest import decoders

    monkeypatch.setattr(decoders, "memory_for", lambda max_pixels: 500 << 20)
    model = open_model(planted(tmp_path / "model", max_pixels=10**8))
    answers = list(model.predict([photo, large, photo, large.read_bytes(), photo]))
    assert [bool(one.failed) for one in answers] == [False, True, False, True, False]
    assert all("memory" in str(one.failed) for one in answers if one.failed)


@pytest.mark.parametrize("memory", [1 << 30, 16 << 30, 1 << 40])
def test_a_model_has_no_say_in_how_much_memory_pictures_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: int, photo: Path
) -> None:
    from pipeline.ingest import decoders, examine

    monkeypatch.setattr(examine, "memory_bytes", lambda: memory)
    given: list[int] = []

    def memory_for(pixels: int) -> int:
        given.append(pixels)
        return examine.memory_for(pixels)

    monkeypatch.setattr(decoders, "memory_for", memory_for)
    model = open_model(planted(tmp_path / "model", max_pixels=2**31 - 1))
    predict.Model(Asking())
    usual = decoding.MAX_PIXELS * examine.MEMORY_BYTES_A_PIXEL  # which everybody may decode
    assert all(one * examine.MEMORY_BYTES_A_PIXEL <= max(memory / 4, usual) for one in given)
    assert min(given) >= decoding.MAX_PIXELS
    with (tmp_path / "sparse.jpg").open("wb") as file:
        file.truncate(decoding.most_bytes(max(given)) + 1)
    found = [one.failed for one in model.predict([tmp_path / "sparse.jpg", photo])]
    assert "over the limit of" in str(found[0])
    assert found[1] is None


def test_what_a_file_is_is_looked_up_within_the_same_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: Path
) -> None:
    """It is read in a process that can be ended, never in that of the command."""

    def fail(*given: Any, **options: Any) -> Any:
        raise AssertionError("read here")

    monkeypatch.setattr(decoding, "_read", fail)
    with (tmp_path / "large.jpg").open("wb") as file:
        file.truncate(1 << 30)  # with no bytes on the disk
    with (tmp_path / "larger.jpg").open("wb") as file:
        file.truncate(1 << 40)
    answers = list(predict.Model(Asking(), max_seconds=0.3).predict([tmp_path / "large.jpg", tmp_path / "larger.jpg"]))
    assert answers[0].failed == "cannot be decoded: it took longer than 0.3 seconds"
    assert "over the limit of" in str(answers[1].failed)
    given: list[Any] = [photo, tmp_path / "gone.jpg", photo.read_bytes(), str(photo)]
    answers = list(predict.Model(Asking()).predict(given))
    assert [one.failed for one in answers] == [None, decoding.MISSING, None, None]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -1.0])
def test_no_time_is_no_time(tmp_path: Path, value: float) -> None:
    with pytest.raises(ColdframeError, match=r"max_seconds = .*, expected a number from 0\.001 on"):
        open_model(planted(tmp_path / "model"), max_seconds=value)


@pytest.mark.exhaustive
def test_files_that_are_not_wanted_any_more_are_not_waited_for(tmp_path: Path, mark: str, slow: list[Path]) -> None:
    """One generator that is left takes nothing from another, and the process ends."""
    folder = planted(tmp_path / "model", max_pixels=10**8)
    picture("moth", 1).save(tmp_path / "photo.png")
    lines = (
        "from pipeline.deploy import predict",
        f"model = predict.open_model({str(folder)!r}, max_seconds=1e6)",
        f"photo, slow = {str(tmp_path / 'photo.png')!r}, {list(map(str, slow))!r}",
        "other, one = model.predict([photo] * 99), model.predict([photo] * 33 + slow * 20)",
        "assert next(other).failed is None and next(one).failed is None",
        "one.close()",
        "assert all(answer.failed is None for answer in other)",
        "assert next(model.predict([photo])).failed is None",
        "print('done', flush=True)",
    )
    assert run(mark, *program(*lines)).stdout == "done\n"


# Models that never end, take all there is, crash, or say something else

ENDLESS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "trips": ([endless("trips", "true"), *ends("looped")], {"trips": 2**62, "true": True}),
    "no condition": ([endless("trips", "", "mean"), *ends("looped")], {"trips": 2**62}),
    "no number of trips": ([endless("", "true"), *ends("looped")], {"true": True}),
    "of a constant": (
        [endless("trips", "true", "level"), node("Add", ["looped", "mean"], ["sum"]), *ends("sum")],
        {"trips": 2**62, "true": True, "level": np.zeros((1, 1), np.float32)},
    ),
}
# a constant that takes minutes to compute, which is done when the model is loaded
FOLDED: tuple[list[Any], dict[str, Any]] = (
    [
        node("Expand", ["level", "big"], ["wide"]),
        node("MatMul", ["wide", "wide"], ["product"]),
        node("MatMul", ["product", "wide"], ["again"]),
        node("ReduceMean", ["again", "both"], ["level_2"], keepdims=1),
        node("Add", ["level_2", "mean"], ["sum"]),
        *ends("sum"),
    ],
    {"level": np.ones((1, 1), np.float32), "big": np.array([12000, 12000]), "both": np.array([0, 1])},
)


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_model_that_never_ends_is_ended(tmp_path: Path, mark: str, photo: Path, kind: str) -> None:
    nodes, constants = ENDLESS[kind]
    folder = planted(tmp_path / "model", saved_model(nodes, **constants))
    done = run(mark, *coldframe(tmp_path / "s", "predict", folder, *[photo] * 40, "--max-seconds", 1))
    assert done.returncode == 1
    assert "model: the model took longer than 1 seconds and was ended" in done.stderr


def loading(folder: Path, *before: str) -> list[str]:
    """A program that loads an artefact, in little time, and says why it cannot."""
    return program(
        "import os, shutil",
        "from pathlib import Path",
        "from pipeline.deploy import artefact, artefact_predictor",
        "from store.errors import ColdframeError",
        "artefact_predictor.LOAD_SECONDS = 3",
        f"given = artefact.read(Path({str(folder)!r}))",
        *before,
        "try: artefact_predictor.of_artefact(given)",
        "except ColdframeError as error: print(error)",
    )


@pytest.mark.exhaustive
def test_a_model_that_is_loaded_for_ever_is_ended(tmp_path: Path, mark: str) -> None:
    nodes, constants = FOLDED
    folder = planted(tmp_path / "model", saved_model(nodes, **constants))
    assert "took longer than 3 seconds and was ended" in run(mark, *loading(folder)).stdout


@pytest.mark.parametrize(
    ("fmt", "put"),
    [
        ("onnx", "os.mkfifo(file)"),
        ("onnx", "os.symlink('/dev/zero', file)"),
        ("openvino", "os.mkfifo(file)"),
        ("openvino", "pass"),
        ("keras", "os.mkfifo(file)"),
        ("keras", "os.mkdir(file)"),
    ],
)
def test_a_model_that_is_swapped_after_its_check_is_said(tmp_path: Path, mark: str, fmt: str, put: str) -> None:
    name = {"onnx": "model.onnx", "openvino": "model.bin", "keras": "model.keras"}[fmt]
    files = {name: b"x"} | ({"model.xml": b"<net/>"} if fmt == "openvino" else {})
    folder = planted(tmp_path / "model", files, format=fmt)
    swap = (f"file = {str(folder / name)!r}", "os.unlink(file)", put)
    assert f"{name}: cannot be read" in run(mark, *loading(folder, *swap)).stdout


@pytest.mark.parametrize("fmt", ["onnx", "openvino", "keras"])
@pytest.mark.parametrize("put", ["os.replace(other, file)", "shutil.copyfile(other, file)"])
def test_another_model_in_its_place_is_not_loaded(tmp_path: Path, mark: str, fmt: str, put: str) -> None:
    name = {"onnx": "model.onnx", "openvino": "model.bin", "keras": "model.keras"}[fmt]
    folder = planted(tmp_path / "model", models_of(fmt, tmp_path)[0], format=fmt)
    (tmp_path / name).write_bytes(models_of(fmt, tmp_path)[1][name])
    swap = (f"file, other = {str(folder / name)!r}, {str(tmp_path / name)!r}", put)
    assert f"{name}: damaged: export the run again" in run(mark, *loading(folder, *swap)).stdout


def models_of(fmt: str, folder: Path) -> list[dict[str, bytes]]:
    """The files of two models of a format that give other probabilities."""
    if fmt == "keras":
        given = []
        for _ in range(2):
            held = artefacts.members(artefacts.network(), folder)
            given.append({"model.keras": artefacts.packed(held.items())})
        return given
    both = [saved_model(ends(), three=np.array([[0.01, more, 0]], np.float32)) for more in (0, 0.02)]
    if fmt == "onnx":
        return [{"model.onnx": one} for one in both]
    openvino, given = pytest.importorskip("openvino"), []
    for one in both:
        openvino.save_model(openvino.Core().read_model(one), folder / "model.xml", compress_to_fp16=False)
        given.append({name: (folder / name).read_bytes() for name in ("model.xml", "model.bin")})
    return given


@pytest.mark.parametrize("fmt", ["onnx", "openvino", "keras"])
def test_what_was_checked_is_what_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fmt: str) -> None:
    """Though another stands there as soon as the library is imported, which takes seconds."""
    one, other = models_of(fmt, tmp_path)
    folder = planted(tmp_path / "model", one, format=fmt)
    given, pictures = artefact.read(folder), np.arange(144, dtype=np.uint8).reshape(1, 8, 6, 3)
    expected, load = given.load()(pictures)[0], quiet.load

    def swapping(name: str, *parts: str) -> Any:
        for file, data in other.items():
            (folder / file).write_bytes(data)
        return load(name, *parts)

    monkeypatch.setattr(quiet, "load", swapping)
    assert np.array_equal(given.load()(pictures)[0], expected)
    with pytest.raises(ColdframeError, match=r"model\.\w+: damaged: export the run again"):
        given.load()


@pytest.mark.exhaustive
def test_a_model_that_is_loaded_again_is_checked_again(tmp_path: Path, photo: Path) -> None:
    white = tmp_path / "white.png"
    Image.new("RGB", (8, 8), "white").save(white)
    folder = planted(tmp_path / "model", endless_for_white())
    model = open_model(folder, max_seconds=1)
    with pytest.raises(ColdframeError, match="took longer than"):
        list(model.predict([white]))
    (folder / "model.onnx").write_bytes(saved_model(ends()))
    with pytest.raises(ColdframeError, match=r"model\.onnx: damaged: export the run again"):
        list(model.predict([photo]))


@pytest.mark.exhaustive
def test_training_images_in_the_place_of_others_are_not_taken(tmp_path: Path, photo: Path) -> None:
    def training(label: str) -> bytes:
        held: dict[str, Any] = {
            "training/image_ids": np.array(["a"]),
            "training/labels": np.array([label]),
            "training/vectors": np.ones((1, 4), np.float32),
        }
        buffer = io.BytesIO()
        np.savez(buffer, **held)
        return buffer.getvalue()

    files = {"model.onnx": saved_model(ends()), "neighbours.npz": training("moth")}
    model = open_model(planted(tmp_path / "model", files))
    (tmp_path / "model" / "neighbours.npz").write_bytes(training("finch"))
    with pytest.raises(ColdframeError, match=r"neighbours\.npz: damaged: export the run again"):
        list(model.predict([photo]))
    assert [one.failed for one in model.predict([photo], neighbours=0)] == [None]


@pytest.mark.parametrize("fmt", ["onnx", "openvino", "keras"])
def test_a_model_may_take_half_of_the_memory(tmp_path: Path, fmt: str) -> None:
    if fmt == "keras" and any(Path(one).exists() for one in memory.GPUS):
        pytest.skip("drivers of GPUs set aside more addresses than there is memory")
    model = open_model(planted(tmp_path / "model", models_of(fmt, tmp_path)[0], format=fmt))
    predictor: Any = model._predictor
    most, _ = predictor._process.call(resource.getrlimit, resource.RLIMIT_AS)
    # 3 GB for libraries, more of them where there are more threads
    assert memory_bytes() // 2 < most < memory_bytes() // 2 + (4 << 30) + (os.cpu_count() or 1) * (256 << 20)
    answers = list(model.predict([encoded(picture("moth", 1), "PNG")] * 40))
    assert [one.failed for one in answers] == [None] * 40


@pytest.mark.exhaustive
def test_an_openvino_model_that_never_ends_is_ended(tmp_path: Path, mark: str, photo: Path) -> None:
    openvino = pytest.importorskip("openvino")
    from openvino import opset13 as ops

    pictures = ops.parameter([-1, 8, 6, 3], np.uint8)
    mean = ops.reduce_mean(ops.convert(pictures, "f32"), ops.constant(np.array([1, 2, 3])), keep_dims=False)
    mean = ops.unsqueeze(mean, ops.constant(np.array([1])))
    value = ops.parameter([-1, 1], np.float32)
    goes_on, more = ops.constant(True), ops.add(value, ops.constant(np.array(1, np.float32)))
    loop = ops.loop(ops.constant(np.array(-1, np.int64)), ops.constant(True))
    loop.set_function(openvino.Model([goes_on.output(0), more.output(0)], [value], "body"))
    loop.set_special_body_ports([-1, 0])
    loop.set_merged_input(value, mean.output(0), more.output(0))
    looped = loop.get_iter_value(more.output(0), -1)
    outputs = [ops.multiply(looped, ops.constant(np.ones((1, width), np.float32))).output(0) for width in (3, 4)]
    model = openvino.Model(outputs, [pictures], "model")
    for output, name in zip(model.outputs, ("probabilities", "vectors"), strict=True):
        output.tensor.set_names({name})
    openvino.save_model(model, tmp_path / "model.xml", compress_to_fp16=False)
    files = {name: (tmp_path / name).read_bytes() for name in ("model.xml", "model.bin")}
    folder = planted(tmp_path / "artefact", files, format="openvino")
    done = run(mark, *coldframe(tmp_path / "s", "predict", folder, photo, "--max-seconds", 1))
    assert "the model took longer than 1 seconds and was ended" in done.stderr


def cast(of: str, to: int, name: str) -> list[Any]:
    """Nodes that give one output in another type."""
    first = [node("MatMul", ["mean", {"probabilities": "three", "vectors": "four"}[of]], [name])]
    return [*first, node("Cast", [name], [of], to=to)]


def only(name: str) -> list[Any]:
    """The nodes of :func:`ends` that one output needs."""
    return [one for one in ends() if (one.output[0] == "vectors") == (name == "vectors")]


types = onnx.TensorProto
WRONG: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "two classes": (ends(), {"three": np.ones((1, 2), np.float32)}, r"probabilities of shape \(1, 2\) for 1 pictures"),
    "one row": (
        [*only("vectors"), node("Identity", ["three"], ["probabilities"])], {},
        r"probabilities of shape \(1, 3\) for 2 pictures",
    ),
    "one dimension": (
        [*only("vectors"), node("Identity", ["means"], ["probabilities"])], {}, "probabilities of shape",
    ),
    "no dimension": (
        [*only("vectors"), node("ReduceMean", ["floats"], ["probabilities"], keepdims=0)], {}, "probabilities of shape",
    ),
    "vectors of three dimensions": (
        [*only("probabilities"), node("Unsqueeze", ["mean", "one"], ["vectors"])], {}, "vectors of shape",
    ),
    "vectors of nothing": (ends(), {"four": np.ones((1, 0), np.float32)}, "vectors of shape"),
    "one vector": ([*only("probabilities"), node("Identity", ["four"], ["vectors"])], {}, "vectors of shape"),
    "whole numbers": ([*only("vectors"), *cast("probabilities", types.INT64, "x")], {}, "no floating-point numbers"),
    "truth values": ([*only("vectors"), *cast("probabilities", types.BOOL, "x")], {}, "no floating-point numbers"),
    "text": ([*only("vectors"), *cast("probabilities", types.STRING, "x")], {}, "no floating-point numbers"),
    "a sequence": (
        [*only("probabilities"), node("MatMul", ["mean", "four"], ["x"]), node("SequenceConstruct", ["x"], ["vectors"])], {},
        "no floating-point numbers",
    ),
    "no vectors": (only("probabilities"), {}, "cannot be run"),
    "more memory than there is": (
        [node("Expand", ["mean", "big"], ["x"]), node("ReduceMax", ["x", "one"], ["y"], keepdims=1), *ends("y")],
        {"big": np.array([2**20, 2**22])}, "cannot be run|crashed or ran out of memory",
    ),
    "an index out of range": (
        [node("Gather", ["mean", "far"], ["x"], axis=0), *ends("x")], {"far": np.array([2**40])}, "cannot be run",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_a_model_that_says_something_else_is_one_sentence(tmp_path: Path, photo: Path, kind: str) -> None:
    nodes, constants, said = WRONG[kind]
    folder = planted(tmp_path / "model", saved_model(nodes, **constants))
    with pytest.raises(ColdframeError, match=said) as raised:
        list(open_model(folder).predict([photo] * 3))
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("dtype", ["FLOAT16", "DOUBLE"])
def test_other_floating_point_numbers_will_do(tmp_path: Path, photo: Path, dtype: str) -> None:
    to = getattr(types, dtype)
    folder = planted(tmp_path / "model", saved_model([*cast("probabilities", to, "x"), *cast("vectors", to, "y")]))
    (answer,) = open_model(folder).predict([photo])
    assert answer.labels == ("finch", "heron", "moth")


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
@pytest.mark.parametrize("where", ["probabilities", "vectors"])
def test_a_number_that_is_none_is_a_row_with_its_reason(tmp_path: Path, photo: Path, where: str, value: float) -> None:
    """Of pictures that are bright; dark ones have their answers."""
    of = {"probabilities": "three", "vectors": "four"}[where]
    nodes = [
        *only("vectors" if where == "probabilities" else "probabilities"),
        node("MatMul", ["mean", of], ["right"]),
        node("Greater", ["mean", "bright"], ["is_bright"]),
        node("Where", ["is_bright", "wrong", "right"], [where]),
    ]
    data = saved_model(nodes, bright=np.float32(100), wrong=np.float32(value))
    vectors = io.BytesIO()
    training: dict[str, Any] = {
        "image_ids": np.array(["a"]),
        "labels": np.array(["moth"]),
        "vectors": np.ones((1, 4), np.float32),
    }
    held: dict[str, Any] = {f"training/{name}": array for name, array in training.items()}
    np.savez(vectors, **held)
    folder = planted(tmp_path / "model", {"model.onnx": data, "neighbours.npz": vectors.getvalue()})
    dark = tmp_path / "dark.png"
    Image.new("RGB", (8, 8), (9, 9, 9)).save(dark)
    Image.new("RGB", (8, 8), "white").save(photo)
    answers = list(open_model(folder).predict([dark, photo, dark]))
    is_said = where == "probabilities" or value != -1.0  # a vector may hold any number
    assert [bool(one.failed) for one in answers] == [False, is_said, False]
    assert not is_said or "a number that is not finite" in str(answers[1].failed)
    if where == "vectors" and np.isnan(value):
        assert not any(one.failed for one in open_model(folder).predict([dark, photo], neighbours=0))


def endless_for_white() -> bytes:
    """A model that never ends with a bright picture."""
    nodes = [
        node("ReduceMax", ["mean"], ["highest"], keepdims=0),
        node("Greater", ["highest", "bright"], ["is_bright"]),
        endless("trips", "is_bright"),
        *ends("looped"),
    ]
    return saved_model(nodes, trips=2**62, bright=np.float32(250))


@pytest.mark.exhaustive
@pytest.mark.parametrize("pictures", [2, 16, 32])
def test_a_model_that_never_ends_with_many_pictures_is_ended(tmp_path: Path, photo: Path, pictures: int) -> None:
    """After the time that one may take, not that times their number."""
    nodes = [
        node("Shape", ["mean"], ["shape"]),
        node("ReduceMax", ["shape"], ["highest"], keepdims=0),
        node("GreaterOrEqual", ["highest", "many"], ["are_many"]),
        endless("trips", "are_many"),
        *ends("looped"),
    ]
    folder = planted(tmp_path / "model", saved_model(nodes, trips=2**62, many=np.int64(pictures)))
    model, began = open_model(folder, max_seconds=1), time.monotonic()
    with pytest.raises(ColdframeError, match=r"took longer than [0-9.]+ seconds and was ended"):
        list(model.predict([photo] * 70))
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("takes", [0.0, 0.01, 5.0, 59.0])
def test_a_batch_has_time_by_those_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes: float) -> None:
    clock, asked = [0.0], []

    def call(function: Any, *arguments: Any, seconds: float) -> Any:
        if function is model_process.run:
            asked.append((len(arguments[0]), seconds))
            clock[0] += takes * len(arguments[0])
            return np.ones((len(arguments[0]), 3), np.float32), np.ones((len(arguments[0]), 4), np.float32)
        return None

    monkeypatch.setattr(artefact_predictor, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    process: Any = SimpleNamespace(call=call)
    given = artefact.read(planted(tmp_path / "model"))
    predictor = artefact_predictor.of_artefact(given, max_seconds=60, process=process)
    predictor.ask([np.zeros((8, 6, 3), np.uint8)] * 100)
    assert [count for count, _ in asked] == [1, 2, 4, 8, 16, 32, 32, 5]
    for count, seconds in asked:
        assert takes * count < seconds <= 60 * count
        assert seconds <= 60 + 4 * takes * count


@pytest.mark.exhaustive
def test_a_model_is_loaded_again_after_it_was_ended(tmp_path: Path, photo: Path) -> None:
    """It never ends with a bright picture alone."""
    folder = planted(tmp_path / "model", endless_for_white())
    white = tmp_path / "white.png"
    Image.new("RGB", (8, 8), "white").save(white)
    model = open_model(folder, max_seconds=1)
    with pytest.raises(ColdframeError, match="took longer than"):
        list(model.predict([white]))
    assert [one.failed for one in model.predict([photo])] == [None]


def test_pictures_of_a_large_size_are_asked_for_some_at_a_time(tmp_path: Path) -> None:
    """A card may ask for the largest: many of them at once would take all memory."""

    for size, expected in (((8192, 8192), 1), ((4096, 2048), 10), ((224, 224), predict.BATCH)):
        engine: Any = SimpleNamespace(classes=np.array(CLASSES), max_pixels=100, size=size)
        assert predict.Model(engine)._batch == expected


# Parents that are killed


def killed(command: list[str], mark: str, is_at_it: Callable[[], bool]) -> None:
    """Kill a process as soon as it is at it: none of its own goes on."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(PYTHONPATH=str(REPOSITORY), **{MARK: mark}),
    )
    try:
        for _ in range(20 * PATIENCE):
            if is_at_it() or process.poll() is not None:
                break
            time.sleep(0.05)
        assert process.poll() is None
        assert len(marked(mark)) > 1
    finally:
        process.kill()
        process.wait()
    assert nothing_runs(mark)


def is_busy(mark: str, seconds: float = 1.0) -> bool:
    """Whether a process that was not started by us, but by one of ours, has computed for so long."""
    for pid in marked(mark):
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) != os.getpid() and sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK") > seconds:
                return True
    return False


def test_a_killed_ingest_leaves_nothing_running(tmp_path: Path, mark: str, slow: list[Path]) -> None:
    for number in range(9):
        os.link(slow[-1], tmp_path / f"{number}.tif")
    command = coldframe(tmp_path / "s", "ingest", tmp_path, "--max-seconds", 1e6, "--workers", 2)
    killed(command, mark, lambda: is_busy(mark, 2))


def test_a_killed_predict_leaves_nothing_running(tmp_path: Path, mark: str, photo: Path) -> None:
    nodes, constants = ENDLESS["trips"]
    folder = planted(tmp_path / "model", saved_model(nodes, **constants))
    killed(coldframe(tmp_path / "s", "predict", folder, photo), mark, lambda: is_busy(mark, 2))


@pytest.mark.exhaustive
def test_a_killed_query_leaves_nothing_running(cf: Coldframe, catalogue: Catalogue, mark: str) -> None:
    cf.ingest(catalogue)
    query = "select count(*) from range(1000000000000) a, range(1000000000000) b where a.range * b.range = 7"
    killed(cf.command("sql", query, "--timeout", 100000), mark, lambda: is_busy(mark, 2))


@pytest.mark.parametrize(
    "busy",
    [
        "sum, range(1 << 62)",  # which lets no other thread run
        "re.fullmatch, '(a|a)*b', 'a' * 64",
        "subprocess.call, ['sleep', '1000000']",
        "signal.pause",
    ],
)
def test_a_worker_ends_with_its_parent(mark: str, busy: str) -> None:
    lines = (
        "import re, signal, subprocess, time",
        "from store.worker import Worker",
        "worker = Worker()",
        "worker.call(abs, 1)",
        f"worker.ask({busy})",
        "time.sleep(1000)",
    )
    began = time.monotonic()
    killed(program(*lines), mark, lambda: len(marked(mark)) > 1 and time.monotonic() - began > 1.5)


@pytest.mark.parametrize("busy", ["sum, range(1 << 62)", "subprocess.call, ['sleep', '1000000']", "signal.pause"])
def test_what_a_limit_ends_ends_with_its_children(mark: str, busy: str) -> None:
    lines = (
        "import os, signal, subprocess",
        "from store.worker import TookTooLong, Worker",
        "worker = Worker()",
        f"try: worker.call({busy}, seconds=1)",
        "except TookTooLong: print('ended')",
        "print(worker.call(abs, -2))",
    )
    assert run(mark, *program(*lines)).stdout == "ended\n2\n"


def test_a_worker_that_dies_is_missed_though_a_child_of_it_lives(mark: str) -> None:
    code = "import os, time; os.fork() or time.sleep(1000000); os._exit(3)"
    lines = (
        "from store.worker import Died, Worker",
        "worker = Worker()",
        f"try: worker.call(exec, {code!r})",
        "except Died: print('died')",
        "print(worker.call(abs, -2))",
    )
    assert run(mark, *program(*lines)).stdout == "died\n2\n"


def test_a_worker_that_was_killed_starts_no_other() -> None:
    from store.worker import Died, Worker

    worker = Worker()
    assert worker.call(abs, -2) == 2
    worker.kill()
    for _ in range(2):
        with pytest.raises(Died):
            worker.call(abs, -2)
    unused = Worker()
    unused.kill()
    with pytest.raises(Died):
        unused.start()


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_workers_do_without_standard_input_and_error(tmp_path: Path, mark: str, photo: Path, closed: str) -> None:
    command = coldframe(tmp_path / "s", "predict", planted(tmp_path / "model"), photo, "--format", "csv")
    done = run(mark, "sh", "-c", f'exec "$@" {closed}', "sh", *command)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 4)


# Runs that do not fit


class Layer:
    """As much of a layer as weights are given to."""

    def __init__(self, *shapes: tuple[int, ...]) -> None:
        self.held = [np.zeros(shape, np.float32) for shape in shapes]

    def get_weights(self) -> list[Any]:
        return self.held

    def set_weights(self, given: list[Any]) -> None:
        assert [one.shape for one in given] == [one.shape for one in self.held]
        self.held = given


def some_weights(*shape: int, dtype: Any = np.float32) -> Any:
    return np.ones(shape, dtype)


@pytest.mark.parametrize(
    "arrays",
    [
        {"": some_weights(2)},
        {"1": some_weights(2)},
        {"x/0": some_weights(2)},
        {"1/x": some_weights(2)},
        {"1/0/0": some_weights(2, 3)},
        {"-1/0": some_weights(2, 3), "-1/1": some_weights(3)},
        {"+1/0": some_weights(2, 3), "1/1": some_weights(3)},
        {"\u0661/0": some_weights(2, 3), "1/1": some_weights(3)},
        {"01/0": some_weights(2, 3), "1/1": some_weights(3)},
        {"9/0": some_weights(2)},
        {f"{'9' * 5000}/0": some_weights(2)},
        {"1/0": some_weights(2, 3)},
        {"1/0": some_weights(2, 3), "1/2": some_weights(3)},
        {"1/0": some_weights(3, 2), "1/1": some_weights(3)},
        {"1/0": some_weights(2, 3), "1/1": some_weights()},
        {"1/0": some_weights(2, 3), "1/1": np.array(["a", "b", "c"])},
        {"1/0": some_weights(2, 3), "1/1": some_weights(3, dtype=bool)},
        {"1/0": some_weights(2, 3), "1/1": np.full(3, np.nan, np.float32)},
        {"0/5": some_weights(3)},
    ],
)
def test_changed_weights_that_do_not_fit_are_one_sentence(arrays: dict[str, Any]) -> None:
    backbone = SimpleNamespace(layers=[Layer(), Layer((2, 3), (3,))])
    with pytest.raises(ColdframeError, match="is none of the weights of its backbone: fine-tune again") as raised:
        classifier._set_tuned(backbone, {f"backbone/{key}": array for key, array in arrays.items()}, "a run")
    assert len(str(raised.value)) < 300


def test_changed_weights_that_fit_are_taken() -> None:
    backbone = SimpleNamespace(layers=[Layer(), Layer((2, 3), (3,))])
    arrays = {"backbone/1/0": some_weights(2, 3), "backbone/1/1": some_weights(3), "0/kernel": some_weights(1)}
    classifier._set_tuned(backbone, arrays, "a run")
    assert all((one == 1).all() for one in backbone.layers[1].held)


@pytest.mark.parametrize("head", ["centroid", "knn"])
def test_a_head_of_other_classes_is_said(ready: Coldframe, head: str) -> None:
    ready("split", "test", "0.3")
    ready("train", "--head", head)
    snapshot = ready.store.snapshot()
    found = Run.find(snapshot, head)
    assert predictors.of_run(snapshot, found).classes.tolist() == CLASSES
    for classes in (CLASSES[:2], [*CLASSES, "newt"], CLASSES[:1]):
        with pytest.raises(ColdframeError, match=rf"has {len(classes)} classes, its model gives \(3,\): train again"):
            predictors.of_run(snapshot, replace(found, classes=tuple(classes)))


@pytest.mark.parametrize("given", ["", os.pathsep, f".{os.pathsep}/elsewhere", f"/elsewhere{os.pathsep}"])
def test_a_rehearsal_imports_nothing_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    asked: dict[str, Any] = {}

    def refuse(command: list[str], environment: dict[str, str]) -> int:
        asked.update(environment)
        return 1

    monkeypatch.setenv("PYTHONPATH", given)
    monkeypatch.setattr(fresh_process, "_wait_for", refuse)
    with pytest.raises(ColdframeError, match="cannot be used in a fresh process"):
        fresh_process.rehearse(tmp_path, tmp_path, [], quiet=True)
    assert asked["PYTHONSAFEPATH"] == "1"
    assert asked["PYTHONPATH"] in ("", "/elsewhere")
    assert os.environ["PYTHONPATH"] == given
    assert [path.name for path in tmp_path.iterdir()] == [ownership.REHEARSAL[0]]


@pytest.mark.parametrize("fmt", ["onnx", "openvino", "keras"])
def test_no_file_of_the_working_folder_is_part_of_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: Path, fmt: str
) -> None:
    """OpenVINO looks for one called ".bin", which has no name before its ending as a model in memory has none."""
    one, other = models_of(fmt, tmp_path)
    folder = planted(tmp_path / "model", one, format=fmt)
    expected = [answer.probabilities for answer in open_model(folder).predict([photo])]
    there = tmp_path / "there"
    there.mkdir()
    for name, data in other.items():
        (there / name).write_bytes(data)
        (there / Path(name).suffix).write_bytes(data)
    monkeypatch.chdir(there)
    assert [answer.probabilities for answer in open_model(folder).predict([photo])] == expected


@pytest.mark.exhaustive
def test_an_artefact_does_not_answer_for_a_run_of_its_name(ready: Coldframe, photo: Path) -> None:
    ready("split", "test", 0.25)
    ready("train", "--head", "centroid")
    planted(Path("centroid"))
    said = ready("predict", "centroid", photo, code=1).stderr
    assert "centroid: both an artefact in this folder and a run of the store: say ./centroid for the artefact" in said
    shown = ready("predict", "./centroid", photo, "--format", "json").stdout
    run_id = ready.value("select run_id from runs")
    assert ready("predict", run_id, photo, "--format", "json").stdout != shown
    (part,) = parts_of(ready, "runs")
    (ready.path / part.path).unlink()
    said = ready("predict", "centroid", photo, code=1).stderr
    assert "a part cannot be read" in said, "a store that cannot say is not one without that run"
    assert "For the artefact in this folder, say ./centroid" in said
    assert ready("predict", "./centroid", photo, "--format", "json").stdout == shown


REHEARSAL = """
import os, sys
from pipeline.deploy import fresh_process
fresh_process._wait_for([sys.executable, "-P", "-c", sys.argv[1]], dict(os.environ))
"""
ANSWERS = """
import sys, time
from store import lifeline
lifeline.kill_group_with_parent(int(sys.argv[1]))
print(flush=True, file=sys.stderr)
time.sleep(1000)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_rehearsal_ends_with_the_export(mark: str, how: signal.Signals) -> None:
    env = environment(PYTHONPATH=str(REPOSITORY), **{MARK: mark})
    export = subprocess.Popen([sys.executable, "-P", "-c", REHEARSAL, ANSWERS], env=env, stderr=subprocess.PIPE)
    assert export.stderr is not None
    export.stderr.readline()
    assert len(marked(mark)) == 2
    export.send_signal(how)
    export.wait(PATIENCE)
    assert nothing_runs(mark)


def test_what_a_rehearsal_says_is_escaped(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "im\x1b]0;pwn\x07x"
    folder.mkdir()
    with pytest.raises(ColdframeError, match="what it said stands above"):
        fresh_process.rehearse(folder, tmp_path, [], quiet=True)
    said = capfd.readouterr().err
    assert "\x1b" not in said
    assert "\\x1b]0;pwn\\x07x" in said
