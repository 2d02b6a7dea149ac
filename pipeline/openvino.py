"""Networks on the processor through OpenVINO: converted once, kept under the digest of their weights.

The framework that converts runs in a process of its own, so that the one that embeds needs none.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.processes import pool
from store import digests
from store.errors import ColdframeError

NAME = "openvino"
PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
# Pictures per inference request: several requests run beside each other, one a stream, and none waits for another.
PIECE = 4
FORMAT = 1  # part of what a converted network is known by: raise it with every change to how it is converted
NETWORK, FACTS = "network.xml", "facts.json"


class NotConverted(ColdframeError):
    """OpenVINO cannot take this network."""


@dataclass(frozen=True)
class Converted:
    """A converted network on disk, and the JSON its conversion gave: its weights' digest, dimensions, …."""

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


def converted(convert: Callable[[Path], dict[str, Any]], *, source: dict[str, Any] | None, kind: Any) -> Converted:
    """The network that ``convert`` writes into a folder as ``network.xml``, from the cache if it is there.

    Args:
        convert: picklable; called in another process; returns facts, among them ``weights``, the digest of the weights.
        source: what the weights depend on, if that is known without loading them; the same source is not loaded again.
        kind: what else the converted network depends on (JSON).
    """
    require()
    version = {"format": FORMAT, "openvino": _version(), "kind": kind}
    by_source = cache() / "sources" / f"{digests.of_json(version | {'source': source})}.json" if source else None
    if by_source is not None and by_source.is_file():
        found = _network(version, json.loads(by_source.read_text(encoding="utf-8")))
        if found is not None:
            return found
    try:
        (cache() / "networks").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache() / "networks") as folder:
            facts = _in_another_process(convert, Path(folder))
            _keep(Path(folder), version, facts)
        if by_source is not None:
            by_source.parent.mkdir(exist_ok=True)
            _write(by_source, facts)
    except OSError as error:
        raise ColdframeError(
            f"{cache()}: converted networks cannot be kept there ({error.strerror or error}); name another folder in the "
            "environment variable COLDFRAME_CACHE, or choose another --backend"
        ) from error
    found = _network(version, facts)
    assert found is not None
    return found


def _in_another_process(convert: Callable[[Path], dict[str, Any]], folder: Path) -> dict[str, Any]:
    try:
        with pool(1) as process:
            return process.submit(convert, folder).result()
    except ColdframeError:
        raise
    except Exception as error:  # converters raise kinds of their own, and a lack of memory ends the process
        reason = " ".join(str(error).split())[:200]
        raise NotConverted(
            f"OpenVINO cannot convert this network ({type(error).__name__}: {reason}): choose another --backend"
        ) from error


def _keep(folder: Path, version: dict[str, Any], facts: dict[str, Any]) -> None:
    _write(folder / FACTS, facts)
    final = _folder(version, facts)
    if not final.is_dir():  # else another process was quicker
        whole = Path(tempfile.mkdtemp(dir=final.parent)) / "whole"
        shutil.copytree(folder, whole)
        try:
            whole.rename(final)
        except OSError:
            if not final.is_dir():
                raise
        shutil.rmtree(whole.parent)


def _write(file: Path, facts: dict[str, Any]) -> None:
    part = file.with_name(f"{file.name}.{os.getpid()}")
    part.write_text(json.dumps(facts), encoding="utf-8")
    part.replace(file)


def _folder(version: dict[str, Any], facts: dict[str, Any]) -> Path:
    return cache() / "networks" / digests.of_json(version | {"weights": facts["weights"]})


def _network(version: dict[str, Any], facts: dict[str, Any]) -> Converted | None:
    file = _folder(version, facts) / NETWORK
    return Converted(file, facts) if file.is_file() else None


def _version() -> str:
    import openvino

    return str(openvino.__version__)


def save(network: Any, folder: Path) -> None:
    """Write an ``openvino.Model`` as a converter has to, weights as they are."""
    import openvino

    openvino.save_model(network, folder / NETWORK, compress_to_fp16=False)


def best_precision() -> str:
    """``bfloat16`` where the processor has instructions for it, else ``float32``."""
    import openvino

    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bfloat16" if "BF16" in capabilities else "float32"


class Network:
    """A converted network, compiled for this processor.

    Raises:
        ColdframeError: the processor can neither compute in the precision asked for nor act as if.
    """

    def __init__(self, file: Path, precision: str) -> None:
        import openvino

        core = openvino.Core()
        model = core.read_model(file)
        model.reshape([PIECE, *list(model.input(0).partial_shape)[1:]])
        hints = {"INFERENCE_PRECISION_HINT": PRECISIONS[precision], "PERFORMANCE_HINT": "THROUGHPUT"}
        compiled = core.compile_model(model, "CPU", hints)
        if compiled.get_property("INFERENCE_PRECISION_HINT").to_string() != PRECISIONS[precision]:
            raise ColdframeError(
                f"the feature set was made in {precision}, which this processor cannot compute: embed on a machine that can, or "
                "make another set with --as NAME"
            )
        self._width = int(model.output(0).partial_shape[1].get_length())
        self._queue = openvino.AsyncInferQueue(compiled)
        self._queue.set_callback(self._take)

    def __call__(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """The outputs for a batch, shape (n, dimensions), float32."""
        self._outputs = np.empty((-(-len(batch) // PIECE) * PIECE, self._width), np.float32)
        for start in range(0, len(batch), PIECE):
            piece = batch[start : start + PIECE]
            if len(piece) < PIECE:
                piece = np.concatenate([piece, np.repeat(piece[-1:], PIECE - len(piece), axis=0)])
            self._queue.start_async(piece, start)
        self._queue.wait_all()
        return self._outputs[: len(batch)]

    def _take(self, request: Any, start: int) -> None:
        self._outputs[start : start + PIECE] = request.get_output_tensor().data
