"""Texts as the numbers that a CLIP's text side takes. Settings that would multiply a text without bound are refused."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.embed.pretrained import Pretrained, is_fault
from pipeline.runtime import quiet
from store.errors import ColdframeError

OWN = (None, "CLIPTokenizer", "CLIPTokenizerFast")  # classes that are CLIP's own
FILE = "tokenizer.json"
STEPS = ("normalizer", "pre_tokenizer", "post_processor")  # entries that change a text, in their order
AROUND = (
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "unk_token",
)  # texts that a model puts beside words, or for them
NOT_PUT_IN = ("Regex", "String", "precompiled_charsmap")  # what is looked for, and a table
LONGEST_PIECE = 64  # characters of a text that a step puts in, and entries in one place
MOST_GROWTH = 4096  # times as long as it was: what all steps together may make of a text
# Of one step; Unicode's compatibility forms write up to 18 characters for one.
GROWTH = {"ByteLevel": 2, "NFC": 3, "NFD": 4, "NFKC": 18, "NFKD": 18, "BertNormalizer": 4}


def tokens(place: Pretrained, texts: Sequence[str], side: Any) -> Any:
    """The words of some texts as numbers that the network's text ``side`` knows, and no more of them than it takes.

    Raises:
        ColdframeError: the settings of the tokenizer make no sense, or are not of this network.
    """
    try:
        _check_growth(place.settings(FILE))
        tokenizer, words = _tokenizer(place), side.vocab_size
        most = min(tokenizer.model_max_length, side.max_position_embeddings)
        given = tokenizer(list(texts), return_tensors="pt", padding=True, truncation=True, max_length=most)
        numbers = given["input_ids"]
        if not 0 <= int(numbers.min()) <= int(numbers.max()) < words or numbers.shape[1] > side.max_position_embeddings:
            raise ValueError(f"it gives words beyond the {words} of the network, or more at once than it takes")
    except BaseException as error:  # wrong settings raise many kinds
        if isinstance(error, MemoryError | ColdframeError) or not is_fault(error):
            raise
        short = " ".join(str(error).split())[:200]
        raise ColdframeError(f"{place.name}: {place.weights}: its tokenizer cannot read texts ({short})") from error
    return given


def _tokenizer(place: Pretrained) -> Any:
    """CLIP's own tokenizer; for another kind, ``tokenizer.json``: other classes read files elsewhere that their settings name."""
    transformers = quiet.load("transformers", "CLIPTokenizer", "PreTrainedTokenizerFast")
    is_own = place.says("tokenizer_config.json", "tokenizer_class") in OWN
    return place.load(transformers.CLIPTokenizer if is_own else transformers.PreTrainedTokenizerFast)


def _check_growth(said: Any) -> None:
    """Check that the steps of a ``tokenizer.json`` cannot make a short text so long that the memory ends.

    The library is no help: where it cannot have the memory, it ends the process.

    Raises:
        ValueError: they can, or a step is not as the format has it.
    """
    if not isinstance(said, dict):
        return
    growth = math.prod(_growth(one) for step in STEPS for one in _objects(said.get(step)))
    if growth > MOST_GROWTH:
        raise ValueError(
            f"{FILE}: its steps may make a text {growth:,} times as long, expected at most {MOST_GROWTH:,}"
        )
    model = said.get("model")
    for key in AROUND:
        _check_piece(model.get(key) if isinstance(model, dict) else None)


def _objects(said: Any) -> Iterator[dict[str, Any]]:
    """The objects among some settings, nested ones included.

    Raises:
        ValueError: one of their lists or texts is too long.
    """
    if isinstance(said, dict):
        yield said
    if isinstance(said, dict | list) and len(said) > LONGEST_PIECE:
        raise ValueError(f"{FILE}: {len(said):,} entries in one place, expected at most {LONGEST_PIECE}")
    for key, value in said.items() if isinstance(said, dict) else enumerate(said if isinstance(said, list) else ()):
        if key not in NOT_PUT_IN:
            _check_piece(value)
        yield from _objects(value)


def _growth(one: dict[str, Any]) -> int:
    """How many times as long one step may make a text."""
    kind = one.get("type")
    if kind in ("Replace", "Prepend"):  # an empty pattern is found between all characters
        return 1 + max(len(text) for text in ("", one.get("content"), one.get("prepend")) if isinstance(text, str))
    if kind == "Precompiled":
        return _longest_character(one.get("precompiled_charsmap"))
    if kind == "TemplateProcessing":
        whole = one.get("single")
        return max(1, str(whole).count("'Sequence'"))
    return GROWTH.get(str(kind), 1)


def _longest_character(charsmap: Any) -> int:
    """The bytes of the longest text that a table of SentencePiece writes for a character.

    The table, in base64, is the length of an index in four bytes, the index, and the texts, each with a zero byte at its end.
    """
    table = base64.b64decode(str(charsmap), validate=True)
    texts = table[4 + int.from_bytes(table[:4], "little") :]
    return max(1, *map(len, texts.split(b"\0")))


def _check_piece(text: Any) -> None:
    """Raises:
    ValueError: a text that a step puts in is too long.
    """
    if isinstance(text, str) and len(text) > LONGEST_PIECE:
        raise ValueError(f"{FILE}: it puts in a text of {len(text):,} characters, expected at most {LONGEST_PIECE}")
