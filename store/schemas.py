"""The datasets of a store and their columns.

A part may have more columns than its schema (the user's own, in ``images`` and ``failures``), never fewer.
"""

from __future__ import annotations

import pyarrow as pa

from store.names import unique_names

DEFAULT_PLAN = "default"  # of the commands that work on a plan
TRAIN, VALIDATION = "train", "val"  # the splits that training knows; others have names of the user's

TIMESTAMP = pa.timestamp("us", tz="UTC")

FILE_FACTS = [
    ("content_id", pa.string()),
    ("bytes", pa.int64()),
    ("format", pa.string()),
    ("mode", pa.string()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("frames", pa.int32()),
    ("is_grey", pa.bool_()),
    ("chroma", pa.int16()),
    ("phash", pa.string()),
]

SCHEMAS: dict[str, pa.Schema] = {
    # One row per file examined, so that an interrupted or repeated ingest decodes nothing twice.
    "files": pa.schema(
        [
            ("path", pa.string()),
            ("mtime_ns", pa.int64()),
            ("decoding", pa.int32()),
            ("examined_at", TIMESTAMP),
            *FILE_FACTS,
        ]
    ),
    "images": pa.schema([("image_id", pa.string()), ("path", pa.string()), ("label", pa.string()), *FILE_FACTS]),
    # One row per content examined: what its pixels are like, and what its EXIF says. Apart from images: when and where a picture
    # was taken is told only to those who ask for it.
    "facts": pa.schema(
        [
            ("content_id", pa.string()),
            ("examined_at", TIMESTAMP),
            ("white", pa.float64()),  # the sample in the file that is shown as white
            ("sharpness", pa.float64()),
            ("brightness", pa.float64()),
            ("darkest", pa.int16()),
            ("lightest", pa.int16()),
            ("entropy", pa.float64()),
            ("taken_at", pa.timestamp("us")),  # by the camera's clock, whatever its zone
            ("camera", pa.string()),
            ("camera_serial", pa.string()),
            ("latitude", pa.float64()),
            ("longitude", pa.float64()),
        ]
    ),
    "failures": pa.schema([(name, pa.string()) for name in ("image_id", "path", "step", "name", "reason")]),
    # One row per feature set: everything that went into its vectors.
    "feature_sets": pa.schema(
        [
            ("embedder", pa.string()),
            ("network", pa.string()),
            ("dimensions", pa.int32()),
            ("digest", pa.string()),
            ("settings", pa.string()),
            # how to load the network again, for its text side: weights, size and seed as JSON
            ("source", pa.string()),
            ("created_at", TIMESTAMP),
        ]
    ),
    # Parts hold `vector` as a fixed-size list; the schema here is what DuckDB sees.
    "embeddings": pa.schema(
        [
            ("content_id", pa.string()),
            ("embedder", pa.string()),
            ("view", pa.int32()),
            ("vector", pa.list_(pa.float32())),
        ]
    ),
    "scores": pa.schema(
        [
            ("image_id", pa.string()),
            ("content_id", pa.string()),
            ("scorer", pa.string()),
            ("value", pa.float64()),
            # of a scorer that looks at labels: the label that it suggests, if it is another, and why, as part of a sentence
            ("suggested", pa.string()),
            ("evidence", pa.string()),
            ("label", pa.string()),  # the label that it judged: the score is of no use under another
        ]
    ),
    # One row per pair of contents that show the same picture. Groups are connected pairs, named by their smallest content.
    "copies": pa.schema(
        [
            ("content_id", pa.string()),
            ("other_id", pa.string()),  # greater than content_id
            ("group_id", pa.string()),
            ("kind", pa.string()),
            ("correlation", pa.float64()),
            ("overlap", pa.float64()),
            ("inliers", pa.int32()),
        ]
    ),
    "verdicts": pa.schema(
        [
            ("image_id", pa.string()),
            ("content_id", pa.string()),
            ("verdict", pa.string()),
            ("why", pa.string()),
            ("created_at", TIMESTAMP),
            ("label", pa.string()),  # the right one, of the verdict relabel
            # the id that a person gave it for, where ingest recorded it for the picture's new id; its own, where a lost one was
            # withdrawn: no label goes with it
            ("given_for", pa.string()),
        ]
    ),
    # One row per stage of a plan, as it was last replayed.
    "stages": pa.schema(
        [
            ("plan", pa.string()),
            ("position", pa.int32()),
            ("kind", pa.string()),
            ("name", pa.string()),
            ("settings", pa.string()),
            ("rows_in", pa.int64()),
            ("rows_out", pa.int64()),
        ]
    ),
    "curation": pa.schema(
        [
            ("plan", pa.string()),
            ("image_id", pa.string()),
            ("rule", pa.string()),
            ("pass", pa.int32()),
            ("value", pa.float64()),
            ("threshold", pa.float64()),
            ("split", pa.string()),
        ]
    ),
    # One row per content a split stage has seen, excluded since or not: what makes splits sticky.
    "assignments": pa.schema(
        [
            ("plan", pa.string()),
            ("stage", pa.string()),
            ("seed", pa.int64()),
            ("share", pa.float64()),
            ("content_id", pa.string()),
            ("split", pa.string()),
        ]
    ),
    "runs": pa.schema(
        [
            ("run_id", pa.string()),
            ("created_at", TIMESTAMP),
            ("name", pa.string()),
            ("head", pa.string()),
            ("embedder", pa.string()),
            ("plan", pa.string()),
            ("features_digest", pa.string()),
            ("classes", pa.list_(pa.string())),
            ("train_rows", pa.int64()),
            ("val_rows", pa.int64()),
            ("epochs", pa.int32()),
            ("parameters", pa.int64()),
            ("seconds", pa.float64()),
            ("settings", pa.string()),
            ("history", pa.string()),
            ("versions", pa.string()),
            # "head" on cached features, "network" from scratch on pixels, or "finetuned"
            ("kind", pa.string()),
            ("embedders", pa.list_(pa.string())),
            ("seed", pa.int64()),
            ("views", pa.int32()),
            # how its settings were chosen, where rows of the plan chose them: "val" for a search on the validation split
            ("settings_chosen_on", pa.string()),
            # of a fine-tuned run: the run it began with, its figures on the validation rows as it began and as it was kept,
            # and whether they are better; where they are not, the run it began with is the one to use
            ("finetuned_from", pa.string()),
            ("helped", pa.bool_()),
            ("val_loss_before", pa.float64()),
            ("val_loss_after", pa.float64()),
            ("val_accuracy_before", pa.float64()),
            ("val_accuracy_after", pa.float64()),
        ]
    ),
    # One row per run and image it was trained or validated on.
    "run_rows": pa.schema(
        [
            ("run_id", pa.string()),
            ("image_id", pa.string()),
            ("content_id", pa.string()),
            ("label", pa.string()),
            ("split", pa.string()),
        ]
    ),
    "evaluations": pa.schema(
        [
            ("run_id", pa.string()),
            ("evaluation", pa.string()),
            ("split", pa.string()),
            ("created_at", TIMESTAMP),
            ("rows", pa.int64()),
            ("classes", pa.int64()),
            ("accuracy", pa.float64()),
            ("f1_micro", pa.float64()),
            ("f1_macro", pa.float64()),
            ("f1_weighted", pa.float64()),
            ("loss", pa.float64()),
            ("loss_capped", pa.int64()),
            ("label_masked", pa.int64()),
            ("label_unseen", pa.int64()),
            ("rows_unmasked", pa.int64()),
            ("rows_trained_on", pa.int64()),
            ("rows_selected_on", pa.int64()),
            ("classes_absent", pa.list_(pa.string())),
            ("top5", pa.float64()),
            ("calibration_error", pa.float64()),
            ("accuracy_low", pa.float64()),
            ("accuracy_high", pa.float64()),
            ("f1_macro_low", pa.float64()),
            ("f1_macro_high", pa.float64()),
        ]
    ),
    # One row per evaluation and value of a column of the catalogue it was looked at by.
    "group_evaluations": pa.schema(
        [
            ("run_id", pa.string()),
            ("evaluation", pa.string()),
            ("split", pa.string()),
            ("column", pa.string()),
            ("value", pa.string()),
            ("rows", pa.int64()),
            ("classes", pa.int64()),
            ("accuracy", pa.float64()),
            ("accuracy_low", pa.float64()),
            ("accuracy_high", pa.float64()),
            ("f1_macro", pa.float64()),
            ("f1_macro_low", pa.float64()),
            ("f1_macro_high", pa.float64()),
            ("top5", pa.float64()),
            ("calibration_error", pa.float64()),
            ("loss", pa.float64()),
        ]
    ),
    "predictions": pa.schema(
        [
            ("run_id", pa.string()),
            ("evaluation", pa.string()),
            ("image_id", pa.string()),
            ("split", pa.string()),
            ("label", pa.string()),
            ("predicted", pa.string()),
            ("probability", pa.float64()),
            ("label_probability", pa.float64()),
            ("rank", pa.int32()),
        ]
    ),
    # One row each time a step finished: with what settings, and digests of what it read.
    "steps": pa.schema(
        [
            ("step", pa.string()),
            ("name", pa.string()),
            ("created_at", TIMESTAMP),
            ("seconds", pa.float64()),
            ("rows_in", pa.int64()),
            ("rows_out", pa.int64()),
            ("settings", pa.string()),
            ("inputs", pa.string()),
        ]
    ),
}

# Datasets whose parts may carry the user's own columns, which differ from part to part.
OPEN_DATASETS = ("images", "failures")
# Names that queries give to columns beside those of the catalogue; ingest renames the user's own.
COMPUTED = ("split", "given_label")
# Datasets that had fewer columns in earlier versions: NULL in the parts written then.
GROWN_DATASETS = ("runs", "evaluations", "scores", "verdicts")


def failure_columns(rows: pa.Table) -> pa.Table:
    """Rows of a catalogue as ``failures`` holds them: as text, a user's ``step``, ``name`` or ``reason`` as ``user_<name>``."""
    ours = {"step", "name", "reason"}
    names = [f"user_{name}" if name.lower() in ours else name for name in rows.column_names]
    return pa.table([as_text(column) for column in rows.columns], unique_names(names))


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Any column as text, NULL where it is NULL."""
    if pa.types.is_string(column.type):
        return column
    try:
        if not pa.types.is_duration(column.type):  # which would become a bare number
            return column.cast(pa.string())
    except pa.ArrowNotImplementedError:  # lists, structs and the like
        pass
    values = [None if value is None else str(value) for value in column.to_pylist()]
    return pa.chunked_array([pa.array(values, pa.string())])


def conform(dataset: str, table: pa.Table) -> pa.Table:
    """Cast ``table`` to the dataset's column types and order; further columns follow as they are.

    Raises:
        ValueError: a column of the schema is missing, or a further one in a dataset that is not open.
    """
    schema = SCHEMAS[dataset]
    missing = [name for name in schema.names if name not in table.column_names]
    extra = [name for name in table.column_names if name not in schema.names]
    if missing or (extra and dataset not in OPEN_DATASETS):
        raise ValueError(f"{dataset}: missing columns {missing}, unexpected columns {extra}")
    columns = {
        field.name: table[field.name]
        if pa.types.is_list(field.type) and pa.types.is_fixed_size_list(table[field.name].type)
        else table[field.name].cast(field.type)
        for field in schema
    }
    return pa.table(columns | {name: table[name] for name in extra})


def is_like(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether values of one type serve as those of another: numbers of another width do, text does not."""
    types = pa.types
    if types.is_null(found):
        return True
    if types.is_list(wanted) or types.is_fixed_size_list(wanted) or types.is_large_list(wanted):
        is_list = types.is_list(found) or types.is_fixed_size_list(found) or types.is_large_list(found)
        return is_list and is_like(found.value_type, wanted.value_type)
    kinds = (types.is_integer, types.is_floating, types.is_boolean, types.is_timestamp, _is_text)
    return found.equals(wanted) or any(kind(found) and kind(wanted) for kind in kinds)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
