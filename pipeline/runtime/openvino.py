"""Networks on the processor through OpenVINO: converted once, kept under the digest of their weights.

The framework that converts runs in a process of its own, so that the one that embeds needs none.

Whoever may write into the cache decides what a network computes: the digests kept beside a network tell damage, not malice. So
a cache is used only if this user or root owns it. A group may write to it: that is the team's choice. A cache that everybody
may write to is refused, and so is a link in it. The folders above it are not looked at.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from pipeline.runtime import quiet
from pipeline.runtime.frameworks import frozen_graph
from store import digests, files, opening, whole
from store.errors import ColdframeError
from store.parts import sha256_of
from store.worker import Died, Worker

NAME = "openvino"
PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
# Pictures per inference request: several requests run beside each other, one a stream, and none waits for another.
PIECE = 4
FORMAT = 2  # part of what a converted network is known by: raise it with every change to how it is converted
NETWORK, DIGESTS = "network.xml", "digests.json"
FILES = {NETWORK, "network.bin"}  # of a converted network
NETWORKS, SOURCES = "networks", "sources"  # folders of the cache
LARGEST_TEXT = 2**20  # bytes of a small file of the cache

# Gives a network's facts, among them the digest of its ``weights``, and what converts it to an ``openvino.Model``.
Loader = Callable[[], tuple[dict[str, Any], Callable[[], Any]]]


class NotConverted(ColdframeError):
    """OpenVINO cannot take this network."""


class Distrusted(ColdframeError):
    """Others may have put something into the cache of converted networks."""

    def __init__(self, place: Path, what: str) -> None:
        super().__init__(
            f"{place}: {what}, so the converted networks there are not to be trusted: see to it that only you may write there, "
            "name another folder in the environment variable COLDFRAME_CACHE, or choose another --backend"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return ColdframeError, (str(self),)  # out of the process that converts


@dataclass(frozen=True)
class Converted:
    """A converted network on disk, and the facts its loader gave (JSON): its weights' digest, dimensions, …."""

    file: Path
    facts: dict[str, Any]


def installed() -> bool:
    """Whether OpenVINO is there to use."""
    return importlib.util.find_spec(NAME) is not None


def require() -> None:
    """Raises:
    ColdframeError: OpenVINO is not installed.
    """
    if not installed():
        raise ColdframeError(
            "the backend openvino is not installed: pip install 'coldframe[fast]', or choose another with --backend and, if "
            "the feature set was made with it, another name with --as NAME"
        )


def cache() -> Path:
    """The folder of converted networks: ``COLDFRAME_CACHE``, else in the user's cache folder. It may be removed any time."""
    given = os.environ.get("COLDFRAME_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else home / "coldframe"


def converted(load: Loader, *, source: dict[str, Any] | None, kind: Any) -> Converted:
    """A network converted for OpenVINO, from the cache if it is there.

    Args:
        load: called in another process, so picklable.
        source: what the weights depend on, if that is known without loading them; the same source is not loaded again.
        kind: what else the converted network depends on (JSON).

    Raises:
        NotConverted: OpenVINO cannot take the network.
        Distrusted: others may write into the cache.
        ColdframeError: OpenVINO is not installed, the weights cannot be had, or the cache cannot be written to.
    """
    require()
    check_cache()
    version = {"format": FORMAT, "openvino": _version(), "kind": kind}
    by_source = cache() / SOURCES / f"{digests.of_json(version | {'source': source})}.json" if source else None
    if by_source is not None:
        facts = _json(by_source)
        if facts and _whole(_folder(version, facts)):
            return Converted(_folder(version, facts) / NETWORK, facts)
    try:
        facts = _in_another_process(load, version)
        if by_source is not None:
            _make_folder(by_source.parent)
            whole.replace(by_source, partial(_write_sealed, text=json.dumps(facts).encode()))
    except OSError as error:
        raise ColdframeError(
            f"{cache()}: converted networks cannot be kept there ({error.strerror or error}); name another folder in the "
            "environment variable COLDFRAME_CACHE, or choose another --backend"
        ) from error
    return Converted(_folder(version, facts) / NETWORK, facts)


def _in_another_process(load: Loader, version: dict[str, Any]) -> dict[str, Any]:
    try:
        with Worker() as process:
            facts: dict[str, Any] = process.call(_convert, load, version)
            return facts
    except Died as error:
        raise ColdframeError(
            "the process that converts the network for OpenVINO died, as one does that runs out of memory: free some, or choose "
            "another --backend"
        ) from error


def _convert(load: Loader, version: dict[str, Any]) -> dict[str, Any]:
    """Load a network and, unless it is in the cache, convert it; its facts."""
    quiet.own_process()
    openvino = quiet.load(NAME)
    check_cache()
    facts, convert = load()
    final = _folder(version, facts)
    if _whole(final):
        return facts
    network = _refusing(convert)
    _make_folder(final.parent)
    with tempfile.TemporaryDirectory(dir=final.parent) as folder:
        made = Path(folder) / final.name
        made.mkdir(0o775)
        try:
            openvino.save_model(network, made / NETWORK, compress_to_fp16=False)
        except RuntimeError as error:  # the library's word for a full disk too
            raise OSError(errno.EIO, f"{' '.join(str(error).split())[:200]}; is the disk full?") from None
        (made / DIGESTS).write_text(json.dumps({file.name: sha256_of(file) for file in made.iterdir()}))
        for file in made.iterdir():
            with file.open("rb") as opened:
                _seal(opened)
            files.sync(file)
        shutil.rmtree(final, ignore_errors=True)  # a damaged one, or what a cleaner of caches left
        try:
            made.rename(final)
        except OSError:
            if not _whole(final):  # else another process was quicker
                raise
    return facts


def _refusing(convert: Callable[[], Any]) -> Any:
    """What ``convert`` gives.

    Raises:
        NotConverted: it cannot.
    """
    try:
        return convert()
    except Exception as error:  # converters raise kinds of their own
        reason = " ".join(str(error).split())[:200]
        raise NotConverted(f"OpenVINO cannot convert this network ({type(error).__name__}: {reason})") from None


def _whole(folder: Path) -> bool:
    """Whether a converted network is as it was written: a damaged one would give other vectors and say nothing."""
    if not _is_own_folder(folder):
        return False
    digest = _json(folder / DIGESTS)
    try:
        return digest.keys() == FILES and all(_digest(folder / name) == digest[name] for name in FILES)
    except FileNotFoundError:
        return False


def _digest(file: Path) -> str:
    with _opened(file) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _json(file: Path) -> dict[str, Any]:
    """What a file of the cache says; nothing if it is not there or not whole."""
    try:
        with _opened(file) as opened:
            value = json.loads(opened.read(LARGEST_TEXT))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def check_cache() -> None:
    """See that nobody else may put a network into the cache, and make the cache, for this user alone, where there is none.

    Raises:
        Distrusted: somebody else owns it, everybody may write to it, or a link leads out of it.
        ColdframeError: it cannot be made, or is no folder.
    """
    top = cache()
    try:
        top.mkdir(0o700, parents=True, exist_ok=True)
        found = [(top, top.stat()), (top, top.lstat())]  # of a link, who made it counts too
    except OSError as error:
        raise ColdframeError(
            f"{top}: converted networks cannot be kept there ({error.strerror or error}); name another folder in the "
            "environment variable COLDFRAME_CACHE, or choose another --backend"
        ) from error
    for place, status in found:
        if status.st_uid not in (os.geteuid(), 0):
            raise Distrusted(place, f"the folder belongs to somebody else (user {status.st_uid})")
    _check_mode(top, found[0][1])
    for inner in (NETWORKS, SOURCES):
        _is_own_folder(top / inner)


def _is_own_folder(folder: Path) -> bool:
    """Whether there is a folder in the cache.

    Raises:
        Distrusted: something else stands there, or others may write to it.
    """
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(status.st_mode):
        raise Distrusted(folder, "a link" if stat.S_ISLNK(status.st_mode) else "not a folder")
    _check_mode(folder, status)
    _check_owner(folder, status)
    return True


def _opened(file: Path) -> BufferedReader:
    """A file of the cache, opened for reading.

    Raises:
        Distrusted: it is a link, or others may write to it.
        OSError: the system refuses.
    """
    try:
        opened = opening.open_regular(file, below=cache())
    except opening.NotRegular as error:
        raise Distrusted(file, str(error.strerror)) from error
    status = os.fstat(opened.fileno())
    try:
        _check_mode(file, status)
        _check_owner(file, status)
    except Distrusted:
        opened.close()
        raise
    return opened


def _check_mode(place: Path, status: os.stat_result) -> None:
    if status.st_mode & stat.S_IWOTH:
        raise Distrusted(place, "everybody may write there")


def _check_owner(place: Path, status: os.stat_result) -> None:
    """In a team's cache what others of the team made is welcome."""
    if status.st_uid not in (os.geteuid(), 0) and not cache().stat().st_mode & stat.S_IWGRP:
        raise Distrusted(place, f"it belongs to somebody else (user {status.st_uid})")


def _make_folder(folder: Path) -> None:
    """Make a folder directly below the cache. Whatever the umask, not everybody may write to it."""
    folder.mkdir(0o775, exist_ok=True)


def _write_sealed(file: IO[bytes], text: bytes) -> None:
    _seal(file)
    file.write(text)


def _seal(file: IO[bytes]) -> None:
    """Make a new file nobody's to change but its owner's and its group's."""
    os.fchmod(file.fileno(), stat.S_IMODE(os.fstat(file.fileno()).st_mode) & ~stat.S_IWOTH)


def _folder(version: dict[str, Any], facts: dict[str, Any]) -> Path:
    return cache() / NETWORKS / digests.of_json(version | {"weights": facts["weights"]})


def _version() -> str:
    openvino = quiet.load(NAME)
    return str(openvino.__version__)


def best_precision() -> str:
    """``bfloat16`` where the processor has instructions for it, else ``float32``."""
    openvino = quiet.load(NAME)
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bfloat16" if "BF16" in capabilities else "float32"


def from_tensorflow(network: Any, shape: tuple[int, int, int]) -> Network:
    """A network of Keras on TensorFlow, as :func:`frozen_graph` takes it, in float32; not kept anywhere.

    Raises:
        NotConverted: OpenVINO cannot take it.
    """
    openvino = quiet.load(NAME)
    return Network(_refusing(lambda: openvino.convert_model(frozen_graph(network, shape).graph)), "float32")


class Network:
    """A converted network, an ``openvino.Model`` or the file of one, compiled for this processor.

    Raises:
        ColdframeError: the processor can neither compute in the precision asked for nor act as if.
    """

    def __init__(self, converted: Any, precision: str) -> None:
        openvino = quiet.load(NAME)
        core = openvino.Core()
        model = core.read_model(converted) if isinstance(converted, Path) else converted
        model.reshape([PIECE, *list(model.input(0).partial_shape)[1:]])
        hints = {"INFERENCE_PRECISION_HINT": PRECISIONS[precision], "PERFORMANCE_HINT": "THROUGHPUT"}
        compiled = core.compile_model(model, "CPU", hints)
        if compiled.get_property("INFERENCE_PRECISION_HINT").to_string() != PRECISIONS[precision]:
            raise ColdframeError(
                f"the feature set was made in {precision}, which this processor cannot compute: embed on a machine that can, or "
                "make another set with --as NAME"
            )
        self._shape = [side.get_length() for side in list(model.output(0).partial_shape)[1:]]
        self._queue = openvino.AsyncInferQueue(compiled)
        self._queue.set_callback(self._take)

    def __call__(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """The outputs for a batch, shape (n, …), float32."""
        self._outputs = np.empty((-(-len(batch) // PIECE) * PIECE, *self._shape), np.float32)
        for start in range(0, len(batch), PIECE):
            piece = batch[start : start + PIECE]
            if len(piece) < PIECE:
                piece = np.concatenate([piece, np.repeat(piece[-1:], PIECE - len(piece), axis=0)])
            self._queue.start_async(piece, start)
        self._queue.wait_all()
        return self._outputs[: len(batch)]

    def _take(self, request: Any, start: int) -> None:
        self._outputs[start : start + PIECE] = request.get_output_tensor().data
