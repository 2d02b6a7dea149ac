"""The settings of ``embed``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from pipeline.embed import embedders
from pipeline.embed.augmentation import FILLS, LARGEST, Augmentation
from pipeline.embed.embedders import clip, keras_applications
from pipeline.steps import settings as declared
from pipeline.steps.settings import LARGEST_COUNT, LARGEST_SEED, parse_size, setting
from store.schemas import DEFAULT_PLAN

STEP, VIEWS_STEP = "embed", "embed-views"  # the records of its vectors: of unaugmented pictures, and of augmented views
STORE_TYPES = {"float32": np.float32, "float16": np.float16}


def _share(of: str, help: str, metavar: str = "SHARE") -> Any:
    """A setting of augmented views."""
    return setting(getattr(Augmentation, of), f"Views: {help}", metavar=metavar, least=0, most=LARGEST[of])


@dataclass(frozen=True)
class Settings:
    """The settings of ``embed``. Those from ``views`` on apply only to augmented views."""

    embedder: str | None = setting(None, "The network.", is_option=False)  # an argument of the command
    weights: str | None = setting(
        None,
        "Weights: hub name, local folder, local .h5/.keras file, or 'random'.",
        metavar="PATH|HUB-ID",
        may_hold_path=True,
        words=(*keras_applications.OWN, clip.DEFAULT_WEIGHTS),
        default_text="the network's own",
    )
    size: str | None = setting(
        None, "Size of the pictures: height and width in pixels.", metavar="HxW", default_text="the network's own"
    )
    batch: int | None = setting(
        None,
        "Pictures per call of the network.",
        least=1,
        most=LARGEST_COUNT,
        default_text=str(embedders.Embedder.batch),
        incidental=True,
    )
    limit: int | None = setting(
        None, "Embed at most N images in this call.", least=0, most=LARGEST_COUNT, default_text="all", incidental=True
    )
    store_as: str = setting("float32", "Type of the stored vectors.", choices=tuple(STORE_TYPES))
    seed: int = setting(0, "Seed of random weights.", least=0, most=LARGEST_SEED)
    backend: str = setting(
        "auto",
        "What runs the network. auto: what the set was made with, else OpenVINO on a CPU, else the framework that the "
        "network comes from, which is the reference.",
        choices=("auto", "reference", "tensorflow", "torch", "openvino"),
        incidental=True,
    )
    device: str = setting("auto", "Device to run the network on.", choices=("auto", "cpu", "gpu"), incidental=True)
    retry: bool = setting(False, "Try images again that failed before.", incidental=True)
    max_failure_rate: float | None = setting(
        None,
        "Stop when more than this share of at least 50 images has failed.",
        least=0,
        most=1,
        default_text="never",
        incidental=True,
    )
    max_pixels: int | None = setting(
        None, "Largest picture to decode, in pixels.", least=1, most=LARGEST_COUNT, default_text="as ingest"
    )
    commit_seconds: float = setting(
        5.0, "Seconds between commits: the most work that a kill can cost.", least=0, incidental=True
    )
    views: int = setting(
        0, "Also embed K augmented views of each training row.", metavar="K", least=0, most=LARGEST_COUNT
    )
    view_rows: str = setting("train", "Rows that get views.", choices=("train", "all"))
    plan: str = setting(DEFAULT_PLAN, "With --views: the plan whose training rows get them.")
    flip: float = _share("flip", "probability of a mirror image.", "P")
    rotation: float = _share("rotation", "largest angle, to either side.", "DEGREES")
    zoom: float = _share("zoom", "largest change of size.")
    brightness: float = _share("brightness", "largest shift of all channels.")
    contrast: float = _share("contrast", "largest change of contrast.")
    channel_shift: float = _share("channel_shift", "largest shift of each channel.")
    fill: str = setting(Augmentation.fill, "Views: how to fill pixels beyond the edges.", choices=tuple(FILLS))
    view_seed: int = setting(Augmentation.seed, "Views: seed of the random changes.", least=0, most=LARGEST_SEED)

    @property
    def height_width(self) -> tuple[int, int] | None:
        """The size, (height, width) in pixels; None for the network's own.

        Raises:
            ColdframeError: the setting is not a size.
        """
        return None if self.size is None else parse_size(str(self.size))

    @property
    def augmentation(self) -> Augmentation:
        """How the views are made.

        Raises:
            ColdframeError: one of their settings is out of range.
        """
        given = {one.name: getattr(self, one.name) for one in fields(Augmentation) if one.name != "seed"}
        return Augmentation(**given, seed=self.view_seed)

    def of_pictures(self) -> dict[str, Any]:
        """The settings for unaugmented pictures, as JSON."""
        return {key: value for key, value in asdict(self).items() if key not in OF_VIEWS}

    def of_views(self) -> dict[str, Any]:
        """The settings for augmented views, as JSON."""
        return {key: value for key, value in asdict(self).items() if key in OF_VIEWS}


OF_VIEWS = {"views", "view_rows", "plan", "view_seed", *(one.name for one in fields(Augmentation))} - {"seed"}


def check(name: str, settings: Settings) -> None:
    """Check the settings of a feature set before anything heavy is loaded.

    Raises:
        ColdframeError: a value is not allowed.
    """
    declared.check(f"embed {name}", settings)
    _ = settings.augmentation


def resolved(settings: Settings) -> Settings:
    """The settings as a store remembers them: weights that are a local file or folder get an absolute path."""
    whole: dict[str, Any] = {one.name: str(path.resolve()) for one, path in declared.named_paths(settings)}
    return replace(settings, **whole)
