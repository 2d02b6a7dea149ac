"""Artefacts that a test makes by hand."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pipeline.deploy import cards
from pipeline.ingest import decoding

CLASSES = ["finch", "heron", "moth"]


def put_card(folder: Path, listed: list[str], **other: Any) -> Path:
    """Put a card for these files of a folder there, in which some values are others; the folder."""
    card = {
        "card_version": cards.VERSION,
        "decoding": decoding.RULES_VERSION,
        "format": "onnx",
        "size": [8, 6],
        "max_pixels": 10**6,
        "classes": CLASSES,
        "taxonomy": {},
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in listed},
    }
    (folder / cards.CARD).write_text(json.dumps(card | other))
    return folder


def network() -> Any:
    """A small network of Keras as an export writes one: pictures of 8 x 6 pixels to probabilities of three classes."""
    from pipeline.runtime.frameworks import load_keras

    keras = load_keras()
    pictures = keras.Input((8, 6, 3), dtype="uint8", name="pictures")
    floats = keras.layers.Rescaling(1 / 255)(keras.ops.cast(pictures, "float32"))
    vectors = keras.layers.Identity(name="vectors")(keras.layers.GlobalAveragePooling2D()(floats))
    return keras.Model(pictures, keras.layers.Dense(3, activation="softmax", name="head")(vectors))


def members(network: Any, folder: Path) -> dict[str, bytes]:
    """What the ``.keras`` file of a network holds."""
    network.save(folder / "members.keras")
    with zipfile.ZipFile(folder / "members.keras") as file:
        held = {name: file.read(name) for name in file.namelist()}
    (folder / "members.keras").unlink()
    return held


def packed(held: Iterable[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of these members, some of which may have the same name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in held:
            file.writestr(name, data)
    return buffer.getvalue()


def described(held: dict[str, bytes], change: Callable[[dict[str, Any]], object]) -> bytes:
    """A ``.keras`` file whose description of the network is another."""
    config = json.loads(held["config.json"])
    change(config)
    return packed((held | {"config.json": json.dumps(config).encode()}).items())


def layer(config: dict[str, Any], name: str) -> dict[str, Any]:
    """One layer in the description of a network."""
    found: dict[str, Any] = next(one for one in config["config"]["layers"] if one["config"]["name"] == name)
    return found
