"""Models in the Hugging Face format, in a local folder or from the hub: their code is never run, nothing is fetched unasked."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.embed import allowed, pickles
from pipeline.runtime import quiet
from store import opening
from store.errors import ColdframeError
from store.memory import memory_bytes

# What is fetched from a repository: tensors, or pickled ones if there are no others; never code.
FETCHED = ("*.json", "*.txt", "*.model", "model.safetensors", "model-*-of-*.safetensors")
PICKLED = ("pytorch_model.bin", "pytorch_model-*-of-*.bin")
READ = (".json", ".jinja", ".txt", ".model", ".safetensors", ".bin")  # suffixes of files that are read
# Entries of a configuration that name code to run, or for which transformers may fetch code.
CODE = ("auto_map", "custom_pipelines", "quantization_config", "compression_config")
IN_FOLDER = (
    "transformers_weights",
    "configuration_files",
    "fast_tokenizer_files",
    "gguf_file",
)  # entries that name files in the folder
# Entries that transformers takes for files anywhere, for positional arguments, or for other names of entries.
ANYWHERE = ("vocab", "merges", "merges_file", "init_inputs", "attribute_map")
TOKENS = "special_tokens_map.json"
LARGEST_CONFIG = 64 * 2**20  # bytes
TENSORS = (".safetensors", ".bin")  # suffixes of files of tensors
MOST_LAYERS, MOST_WIDTH = (
    1000,
    2_000_000,
)  # in a configuration: limits for any number that counts layers, and for any other number
WHOLE = "model.safetensors"  # where it is, transformers loads no other file, unless a settings file names one
PARTS = "config.json, model.safetensors, tokenizer and preprocessor files"


@dataclass(frozen=True)
class Pretrained:
    """A model's folder on this machine, for the embedder ``name``; ``weights`` is what was asked for."""

    name: str
    weights: str
    folder: Path

    def load(self, kind: Any, **options: Any) -> Any:
        """Load one part of the model with a class of transformers.

        Raises:
            ColdframeError: the part is not available, or is not in the Hugging Face format.
        """
        for file in self.weight_files():
            if file.suffix == ".safetensors":
                continue
            try:
                pickles.check(file)
            except Exception as error:  # pickles raise every kind
                raise ColdframeError(_not_had(self.name, self.weights, f" ({file}: {_short(error)})")) from error
        try:
            return kind.from_pretrained(self.folder, local_files_only=True, trust_remote_code=False, **options)
        except BaseException as error:  # safetensors, JSON and transformers each raise their own kinds
            if not is_fault(error):
                raise
            where = "the local folder" if Path(self.weights).is_dir() else f"the hub's copy in {self.folder}"
            raise ColdframeError(_not_had(self.name, self.weights, f" from {where} ({_short(error)})")) from error

    def weight_files(self) -> list[Path]:
        """The files of tensors that transformers may load: by its own names for them, or because a settings file names them."""
        inside = sorted(self.folder.iterdir())
        named = {text for file in inside if _is_settings(file.name) for text in _texts(self._settings(file))}
        own = ("model",) if (self.folder / WHOLE).is_file() else ("model", "pytorch_model")
        return [file for file in inside if file.suffix in TENSORS and (file.name in named or file.name.startswith(own))]

    def says(self, file: str, entry: str) -> Any:
        """The value of an entry in a settings file; None if there is no such file or entry.

        Raises:
            ColdframeError: the file cannot be read.
        """
        place = self.folder / file
        said = self._settings(place) if place.is_file() else None
        return said.get(entry) if isinstance(said, dict) else None

    def _settings(self, file: Path) -> Any:
        try:
            return _parsed(opening.read_regular(file, follow=True, most=LARGEST_CONFIG))
        except (OSError, ValueError, RecursionError) as error:
            raise ColdframeError(_not_had(self.name, self.weights, f" ({file}: {_why(error)})")) from error

    def check_config(self, kind: Any, make: Callable[[Any], Any]) -> None:
        """Check that the network described by config.json has no more numbers than its tensor files have bytes.

        Args:
            kind: the class of its configuration.
            make: makes the network from it.

        Raises:
            ColdframeError: it has more, or the network cannot be made.
        """
        import torch

        config = self.load(kind)
        for one in (config, *(getattr(config, part, None) for part in ("text_config", "vision_config"))):
            if one is not None:
                one._attn_implementation = "eager"  # its own choice may be code from elsewhere
        try:
            with torch.device("meta"):  # on this device, tensors have shapes but take no memory
                wanted = sum(one.numel() for one in make(config).parameters())
        except Exception as error:  # a configuration that makes no sense raises many kinds
            raise ColdframeError(_not_had(self.name, self.weights, f" (config.json: {_short(error)})")) from error
        there = sum(file.stat().st_size for file in self.weight_files())
        if wanted > there > 0:
            raise ColdframeError(
                _not_had(
                    self.name,
                    self.weights,
                    f" (config.json describes {wanted} numbers, and the files have {there} bytes)",
                )
            )


def _check_numbers(said: Any) -> None:
    """Raises:
    ValueError: a number in a configuration is larger than any network's.
    """
    for key, value in _entries(said):
        if isinstance(value, int) and value > (MOST_LAYERS if "layers" in key else MOST_WIDTH):
            raise ValueError(f"{key} = {value} is too large")


def find(name: str, weights: str, *, fetch: bool, is_own: bool = False) -> Pretrained:
    """Find the folder of ``weights``: a local folder, or the name of a repository on the hub.

    A folder that only a store names must be absolute: a folder of that name in the working folder may be anybody's.

    Args:
        name: the embedder that needs the weights, for errors.
        fetch: whether the weights may be fetched; if not, a repository is taken as it is on this machine.
        is_own: whether the weights are our own default, which is never a local folder.

    Raises:
        ColdframeError: it does not exist, may not be fetched, asks to run code, or holds something other than regular files.
    """
    place = Path(weights)
    if is_own or not (fetch or place.is_absolute()):
        folder = _of_hub(name, weights, fetch=fetch)
    elif place.is_dir():
        folder = place
        if not fetch and not opening.is_plain_folder(place):
            raise ColdframeError(f"{name}: the store names weights at {weights}, which is a link: expected a folder")
    elif os.path.lexists(weights):
        what = "a file" if place.is_file() else "no folder"
        raise ColdframeError(
            f"{name}: {weights} is {what}; expected a folder in Hugging Face format ({PARTS}) or a hub name"
        )
    elif place.is_absolute():
        raise ColdframeError(_not_had(name, weights, ": there is no such folder"))
    else:
        folder = _of_hub(name, weights, fetch=fetch)
    _check(name, weights, folder)
    return Pretrained(name, weights, folder)


def _of_hub(name: str, weights: str, *, fetch: bool) -> Path:
    hub = quiet.load("huggingface_hub", "snapshot_download")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # otherwise it reports each of its retries
    hub.utils.disable_progress_bars()
    missing = hub.errors.LocalEntryNotFoundError

    def snapshot(patterns: tuple[str, ...]) -> Path:
        return Path(
            hub.snapshot_download(
                weights, allow_patterns=list(patterns), ignore_patterns=["*/*"], local_files_only=not fetch
            )
        )

    try:
        folder = snapshot(FETCHED)
        if fetch and not any(folder.glob("*.safetensors")):
            folder = snapshot(PICKLED)
    except Exception as error:  # of many kinds
        if isinstance(error, missing) and not fetch:
            raise ColdframeError(
                f"{name}: only the store names the weights {weights!r}, and they are not on this machine; what only a store "
                f"names is not fetched. If you trust them, name them yourself: weights = {json.dumps(weights)} under "
                f"[embed.NAME] in coldframe.toml, coldframe embed {name} --weights {weights}, or the environment variable "
                f"{allowed.VARIABLE}"
            ) from error
        raise ColdframeError(_not_had(name, weights, f" from the Hugging Face hub ({_short(error)})")) from error
    return folder


def _check(name: str, weights: str, folder: Path) -> None:
    """Raises:
    ColdframeError: the folder asks to run code or for files elsewhere, or a file to be read in it is not regular.
    """
    for file in sorted(folder.iterdir()):
        if file.suffix not in READ:
            continue
        try:
            with opening.open_regular(file, follow=True) as opened:  # the hub's own cache is full of links
                most = memory_bytes() if file.suffix in TENSORS else LARGEST_CONFIG
                if os.fstat(opened.fileno()).st_size > most:
                    raise ValueError(f"larger than {most} bytes")
                if not _is_settings(file.name):
                    continue
                said = _parsed(opened.read(LARGEST_CONFIG))
            if file.name == "config.json":
                _check_numbers(said)
            _check_files(folder, file.name, said)
            asked = next(_asked_to_run(said), None)
        except (OSError, ValueError, RecursionError) as error:
            raise ColdframeError(_not_had(name, weights, f" ({file}: {_why(error)})")) from error
        if asked is not None:
            raise ColdframeError(
                f"{name}: {file} leads to code besides plain CLIP's ({asked}), which coldframe never runs. Give weights that "
                f"plain CLIP can load: others, or a copy of these without {asked}"
            )


def _is_settings(name: str) -> bool:
    """Whether transformers may use this file's settings; config.json may have variants for later versions."""
    return name.endswith(("config.json", ".index.json", TOKENS)) or (
        name.startswith("config.") and name.endswith(".json")
    )


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise ValueError(f"not readable as JSON: {_short(error)}") from error


def _check_files(folder: Path, name: str, said: Any) -> None:
    """Check that the settings file ``name`` leads to no file outside the folder, and to none that is not regular.

    Raises:
        ValueError: it does, or weights that it names do not exist.
    """
    if name == "adapter_config.json":  # it names a base model of its own, and Python modules
        raise ValueError(
            "these are the settings of an adapter; expected those of a whole model, with no adapter beside it"
        )
    if name.endswith(".index.json"):
        return _check_index(folder, said)
    if name == TOKENS and isinstance(said, dict):  # each of its entries would become an argument of the tokenizer
        for key in said:
            if not key.endswith(("_token", "_tokens")):
                raise ValueError(f"it has an entry {key!r}, expected tokens alone")
    for key, value in _entries(said):
        if key in ANYWHERE and isinstance(value, str | list | dict) and value:
            raise ValueError(f"it has an entry {key!r}, which may lead to files outside the folder: leave it out")
        if key in IN_FOLDER:
            for named in value if isinstance(value, list | dict) else [value]:
                _check_name(folder, key, named)
    return None


def _check_name(folder: Path, key: str, named: Any) -> None:
    """Check one of :data:`IN_FOLDER`; raise as :func:`_check_files`."""
    if not isinstance(named, str):  # transformers cannot take it for a file
        return
    if Path(named).name != named:
        raise ValueError(f"its {key} is {named!r}, expected the name of a file of the folder")
    if key == "transformers_weights":
        _see_regular(folder / named)


def _check_index(folder: Path, index: Any) -> None:
    """Check that the tensor files named by an index lie in the folder, and are tensor files.

    Raises:
        ValueError: one is not, or does not exist.
    """
    named = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(named, dict):
        raise ValueError("it has no weight_map")
    for name in {str(one) for one in named.values()}:
        if Path(name).name != name or not name.endswith((".safetensors", ".bin")):
            raise ValueError(f"it names the tensors {name!r}, expected a file of the folder")
        _see_regular(folder / name)


def _see_regular(file: Path) -> None:
    """Check that a file named as a tensor file is regular; raise a ValueError otherwise."""
    try:
        opening.open_regular(file, follow=True).close()
    except OSError as error:
        raise ValueError(f"it names the tensors {file.name!r}: {error.strerror}") from error


def _asked_to_run(value: Any) -> Iterator[str]:
    """The entries of a configuration, nested ones included, that name code."""
    for key, inner in _entries(value):
        if key in CODE and isinstance(inner, dict | list | str) and inner:
            yield key


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """The entries of a configuration, nested ones included."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from _entries(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _entries(inner)


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value, those of nested ones included; names of entries apart."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _not_had(name: str, weights: str, why: str) -> str:
    return f"{name}: weights {weights!r} are not available{why}. Give a local copy of the model's folder ({PARTS}): --weights DIR"


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or _short(error)


def is_fault(error: BaseException) -> bool:
    """Whether an error says that something is wrong with what a library was given. A panic of Rust's is no ``Exception``."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
