"""The settings of fine-tuning, the run that it begins with, and what it reads."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.finetune import activations
from pipeline.finetune.inputs import CutInputs, WholeInputs
from pipeline.ingest import pictures
from pipeline.runs.runs import FINETUNED, HEAD, Run
from pipeline.steps.settings import (
    LARGEST_COUNT,
    LARGEST_SEED,
    setting,
)
from pipeline.train import fitting, optimizers
from store.errors import ColdframeError
from store.store import Snapshot

STEP = "finetune"
MODES = (CutInputs.mode, WholeInputs.mode)


@dataclass(frozen=True)
class Settings:
    """The settings of ``finetune``.

    ``run`` is the run to begin with, None for the newest head; it is an argument of the command.
    """

    run: str | None = setting(None, is_option=False)
    layers: int = setting(
        5, "Last layers of the backbone to unfreeze; BatchNormalization stays frozen.", least=1, most=LARGEST_COUNT
    )
    learning_rate: float = setting(1e-7, "Learning rate.", above=0, spellings=("--lr",))
    epochs: int = setting(6, "Largest number of epochs (passes over the training rows).", least=1, most=LARGEST_COUNT)
    optimizer: str = setting("adam", "Optimizer.", choices=optimizers.NAMES)
    batch: int = setting(32, "Batch size: pictures per training step.", least=1, most=LARGEST_COUNT)
    early_stopping: int = setting(
        3, "Stop after N epochs without improvement; 0 for never.", least=0, most=LARGEST_COUNT
    )
    mode: str | None = setting(
        None,
        "cut: store the output of the frozen layers once; whole: run the whole network in every epoch.",
        choices=MODES,
        default_text="cut, unless --augment",
    )
    augment: bool = setting(False, "With --mode whole: mirror, rotate and zoom the pictures in every epoch.")
    cache_as: str = setting("float16", "Type of the stored activations.", choices=activations.TYPES)
    max_disk: str = setting("20GB", "Most disk space for activations.", metavar="SIZE", incidental=True)
    memory_share: float = setting(
        pictures.MEMORY_SHARE,
        "With --mode whole: share of memory that the pictures may take; more are kept on disk.",
        least=0,
        most=1,
        incidental=True,
    )
    seed: int = setting(0, "Seed of the order of rows.", least=0, most=LARGEST_SEED)


def begins_with(snapshot: Snapshot, settings: Settings) -> Run:
    """The run that settings name.

    Raises:
        ColdframeError: there is no such run, or it is already fine-tuned.
    """
    if settings.run is None:
        return Run.newest(snapshot, kind=HEAD) or Run.find(snapshot, None)
    run = Run.find(snapshot, settings.run)
    if run.kind == FINETUNED:
        raise ColdframeError(f"{run.run_id} is fine-tuned already: name the head it began with, {run.finetuned_from}")
    return run


def inputs_read(snapshot: Snapshot, run: Run) -> dict[str, str]:
    """A digest of the run and of each column of the training and validation rows; pictures are identified by content."""
    return fitting.rows_read(snapshot, run.plan) | {"run": run.run_id}
