"""Texts as the numbers that a CLIP's text side takes.

The settings of a tokenizer are a program of replacements, which may make a short text as long as one likes. Where the library
cannot have the memory, it ends its process. So it has a process of its own, with limits.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.embed.pretrained import Pretrained, is_fault
from pipeline.runtime import quiet
from pipeline.runtime.processes import cores
from store.errors import ColdframeError
from store.worker import Died, TookTooLong, Worker

OWN = (None, "CLIPTokenizer", "CLIPTokenizerFast")  # classes that are CLIP's own
# Bytes of address space. Libraries reserve some for each core, mostly unused.
MEMORY, MEMORY_A_CORE = 4 << 30, 128 << 20
SECONDS, SECONDS_A_TEXT = 60.0, 0.1

Numbers = npt.NDArray[np.int64]

_loaded: dict[Pretrained, Any] = {}  # in the process: its tokenizer


class Tokenizer:
    """The tokenizer of some weights. Its process is started with the first texts, and ends with this object.

    Args:
        side: the settings of the network's text side, which say how many words it knows and takes.
    """

    def __init__(self, place: Pretrained, side: Any) -> None:
        self._place, self._words, self._most = place, int(side.vocab_size), int(side.max_position_embeddings)
        self._worker = Worker(memory=MEMORY + MEMORY_A_CORE * cores(), prepare=_get_ready)
        self._lock = threading.Lock()  # a process does one thing at a time

    def __call__(self, texts: Sequence[str]) -> tuple[Numbers, Numbers]:
        """The words of some texts as numbers, and 1 where there is one: shape (len(texts), longest), int64.

        Raises:
            ColdframeError: the settings of the tokenizer make no sense or are not of this network, or it passes a limit.
        """
        seconds = SECONDS + SECONDS_A_TEXT * len(texts)
        try:
            with self._lock:
                found = self._worker.call(_tokens, self._place, list(texts), self._most, seconds=seconds)
            numbers, mask = (np.asarray(one, np.int64) for one in found)
            if not 0 <= int(numbers.min()) <= int(numbers.max()) < self._words or numbers.shape[1] > self._most:
                raise ValueError(
                    f"it gives words beyond the {self._words} of the network, or more at once than it takes"
                )
        except TookTooLong:
            raise self._cannot(f"it takes longer than {seconds:.0f} seconds") from None
        except (Died, MemoryError):
            raise self._cannot(f"it takes more than {MEMORY >> 30} GB of memory, or crashes") from None
        except ColdframeError:
            raise
        except Exception as error:  # wrong settings raise many kinds
            raise self._cannot(" ".join(str(error).split())[:200]) from error
        return numbers, mask

    def _cannot(self, why: str) -> ColdframeError:
        return ColdframeError(f"{self._place.name}: {self._place.weights}: its tokenizer cannot read texts ({why})")


def _get_ready() -> None:
    """In the process: import what is needed, which takes its time."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its threads would each reserve memory
    _classes()


def _classes() -> tuple[Any, Any]:
    """CLIP's own tokenizer, and one that is all in ``tokenizer.json``: other classes read files elsewhere that settings name."""
    transformers = quiet.load("transformers", "CLIPTokenizer", "PreTrainedTokenizerFast")
    return transformers.CLIPTokenizer, transformers.PreTrainedTokenizerFast


def _tokens(place: Pretrained, texts: list[str], most: int) -> tuple[Any, Any]:
    """In the process: the numbers of some texts, ``most`` of each, and where there are any."""
    try:
        if place not in _loaded:
            own, other = _classes()
            is_own = place.says("tokenizer_config.json", "tokenizer_class") in OWN
            _loaded[place] = place.load(own if is_own else other)
        tokenizer = _loaded[place]
        most = min(tokenizer.model_max_length, most)
        found = tokenizer(texts, return_tensors="np", padding=True, truncation=True, max_length=most)
        return found["input_ids"], found["attention_mask"]
    except BaseException as error:
        if isinstance(error, Exception) or not is_fault(error):
            raise
        raise ValueError(str(error)) from error  # a panic of Rust's, which would end the process
