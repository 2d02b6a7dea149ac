"""The sections of a report, in order. Each function takes the source and gives its sections."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline.look.sections import again, catalogue, evaluation, rules, signals
from pipeline.look.source import Missing, Section, Source

Made = Iterator[Section | Missing]
SECTIONS: tuple[Callable[[Source], Made], ...] = (
    catalogue.sections,
    rules.sections,
    evaluation.sections,
    signals.sections,
    again.sections,
)
