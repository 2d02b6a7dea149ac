"""Networks on the processor through OpenVINO: converted once, and kept under their weights and architecture.

The framework that converts runs in a separate process, so that the process that embeds needs none.
The cache is :mod:`pipeline.runtime.network_cache`.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.runtime import network_cache, quiet
from pipeline.runtime.frameworks import frozen_graph
from store import digests, files, whole
from store.errors import ColdframeError
from store.parts import sha256_of
from store.worker import Died, Worker

NAME = "openvino"
PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
# Pictures per inference request. Several requests run in parallel, one per stream, and none waits for another.
PIECE = 4
FORMAT = 5  # part of a converted network's key: raise it with every change to the conversion
NETWORK, DIGESTS = "network.xml", "digests.json"
FILES = {NETWORK, "network.bin"}  # the files of a converted network

# Returns a network's facts, including the digest of its ``weights``, and a function that converts it to an ``openvino.Model``.
Loader = Callable[[], tuple[dict[str, Any], Callable[[], Any]]]


class NotConverted(ColdframeError):
    """OpenVINO cannot take this network."""


@dataclass(frozen=True)
class Converted:
    """A converted network on disk, and the facts from its loader (JSON): its weights' digest, dimensions, …."""

    file: Path
    facts: dict[str, Any]

    def network(self, precision: str) -> Network:
        """The network compiled for this processor; one that cannot be is not kept.

        Raises:
            ColdframeError: as for :class:`Network`.
        """
        try:
            return Network(self.file, precision)
        except NotConverted:
            shutil.rmtree(self.file.parent, ignore_errors=True)
            raise


def installed() -> bool:
    """Whether OpenVINO is installed."""
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


def converted(load: Loader, *, source: dict[str, Any] | None, kind: Any) -> Converted:
    """A network converted for OpenVINO, from the cache if it is there.

    Args:
        load: called in another process, so it must be picklable.
        source: what the weights depend on, if known without loading them; the same source is not loaded again.
        kind: what else the converted network depends on (JSON).

    Raises:
        NotConverted: OpenVINO cannot take the network.
        Distrusted: others may write into the cache.
        ColdframeError: OpenVINO is not installed, the weights are not available, or the cache cannot be written to.
    """
    require()
    network_cache.check()
    version = {"format": FORMAT, "openvino": _version(), "kind": kind}
    by_source = (
        network_cache.folder() / network_cache.SOURCES / f"{digests.whole_of_json(version | {'source': source})}.json"
        if source
        else None
    )
    if by_source is not None:
        facts = network_cache.read_json(by_source)
        if facts and _whole(_folder(version, facts)):
            return Converted(_folder(version, facts) / NETWORK, facts)
    try:
        facts = _in_another_process(load, version)
        if by_source is not None:
            network_cache.make_folder(by_source.parent)
            whole.replace(by_source, partial(network_cache.write_sealed, text=json.dumps(facts).encode()))
    except OSError as error:
        raise ColdframeError(
            f"{network_cache.folder()}: converted networks cannot be kept there ({error.strerror or error}); name another "
            "folder in the environment variable COLDFRAME_CACHE, or choose another --backend"
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
    """Load a network and, unless it is in the cache, convert it; return its facts."""
    quiet.own_process()
    openvino = quiet.load(NAME)
    network_cache.check()
    facts, convert = load()
    final = _folder(version, facts)
    if _whole(final):
        return facts
    network = _refusing(convert)
    network_cache.make_folder(final.parent)
    with tempfile.TemporaryDirectory(dir=final.parent) as folder:
        made = Path(folder) / final.name
        made.mkdir(0o775)
        try:
            openvino.save_model(network, made / NETWORK, compress_to_fp16=False)
        except RuntimeError as error:  # the library also raises it for a full disk
            raise OSError(errno.EIO, f"{' '.join(str(error).split())[:200]}; is the disk full?") from None
        (made / DIGESTS).write_text(json.dumps({file.name: sha256_of(file) for file in made.iterdir()}))
        for file in made.iterdir():
            with file.open("rb") as opened:
                network_cache.seal(opened)
            files.sync(file)
        shutil.rmtree(final, ignore_errors=True)  # a damaged one, or what a cache cleaner left
        try:
            made.rename(final)
        except OSError:
            if not _whole(final):  # otherwise another process was quicker
                raise
    return facts


def _refusing(convert: Callable[[], Any]) -> Any:
    """Return the result of ``convert``.

    Raises:
        NotConverted: it fails.
    """
    try:
        return convert()
    except Exception as error:  # converters raise kinds of their own
        reason = " ".join(str(error).split())[:200]
        raise NotConverted(f"OpenVINO cannot convert this network ({type(error).__name__}: {reason})") from None


def _whole(folder: Path) -> bool:
    """Whether a converted network is unchanged since it was written: a damaged one would silently give other vectors."""
    if not network_cache.is_own_folder(folder):
        return False
    digest = network_cache.read_json(folder / DIGESTS)
    try:
        return digest.keys() == FILES and all(_digest(folder / name) == digest[name] for name in FILES)
    except FileNotFoundError:
        return False


def _digest(file: Path) -> str:
    with network_cache.opened(file) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _folder(version: dict[str, Any], facts: dict[str, Any]) -> Path:
    """The place of a converted network. The same weights under another description are another network."""
    return network_cache.folder() / network_cache.NETWORKS / digests.whole_of_json(version | facts)


def _version() -> str:
    openvino = quiet.load(NAME)
    return str(openvino.__version__)


def check_precision(precision: Any) -> None:
    """Check the precision that a feature set was made in, as the store says; None if it does not say.

    Raises:
        ColdframeError: there is no such precision.
    """
    if precision is not None and precision not in list(PRECISIONS):
        raise ColdframeError(
            f"the feature set was made in precision {ascii(precision)[:60]}, expected {' or '.join(PRECISIONS)}: coldframe did "
            "not write this; make another set with --as NAME"
        )


def best_precision() -> str:
    """``bfloat16`` if the processor has instructions for it, else ``float32``."""
    openvino = quiet.load(NAME)
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bfloat16" if "BF16" in capabilities else "float32"


def from_tensorflow(network: Any, shape: tuple[int, int, int]) -> Network:
    """A Keras network on TensorFlow, as :func:`frozen_graph` takes it, converted in float32; it is not cached.

    Raises:
        NotConverted: OpenVINO cannot take it.
    """
    openvino = quiet.load(NAME)
    return Network(_refusing(lambda: openvino.convert_model(frozen_graph(network, shape).graph)), "float32")


class Network:
    """A converted network, an ``openvino.Model`` or its file, compiled for this processor.

    Raises:
        ColdframeError: the processor can neither compute in the requested precision nor emulate it.
    """

    def __init__(self, converted: Any, precision: str) -> None:
        check_precision(precision)
        openvino = quiet.load(NAME)
        core = openvino.Core()
        hints = {"INFERENCE_PRECISION_HINT": PRECISIONS[precision], "PERFORMANCE_HINT": "THROUGHPUT"}
        try:
            model = core.read_model(converted) if isinstance(converted, Path) else converted
            model.reshape([PIECE, *list(model.input(0).partial_shape)[1:]])
            self._shape = [side.get_length() for side in list(model.output(0).partial_shape)[1:]]
            compiled = core.compile_model(model, "CPU", hints)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise NotConverted(f"OpenVINO cannot compute this network ({reason})") from None
        if compiled.get_property("INFERENCE_PRECISION_HINT").to_string() != PRECISIONS[precision]:
            raise ColdframeError(
                f"the feature set was made in {precision}, which this processor cannot compute: embed on a machine that can, or "
                "make another set with --as NAME"
            )
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
