"""Read a catalogue from COCO JSON: a row for each image, labelled with the name of its category."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.ingest import catalogue_limits
from pipeline.ingest.listed import Listed
from pipeline.ingest.readers import json_rows
from store.errors import ColdframeError

LABEL = "category"
ALL = "categories"
PATHS = ("file_name", "coco_url", "path")


def is_coco(found: Any) -> bool:
    """Whether a JSON document is shaped like COCO's."""
    return isinstance(found, Mapping) and isinstance(found.get("images"), list) and not _is_of_detector(found)


def _is_of_detector(found: Mapping[str, Any]) -> bool:
    """Whether a document is what a detector such as MegaDetector found: its images have no ids, and no labels of a person's."""
    return "detection_categories" in found and "annotations" not in found


def read(source: Path, found: Mapping[str, Any]) -> Listed:
    """The images of a COCO document, with the categories of their annotations and their licence.

    An image with annotations of several categories has no label: which is meant, the file does not say. All are in the column
    ``categories``.

    Raises:
        ColdframeError: a part of the document is not as COCO has it.
    """
    names = _names(source, found, "categories", "name")
    licences = _by_id(source, found, "licenses")
    images = _objects(source, found, "images")
    images, repeated = _once(source, images)
    of_image: dict[Any, dict[str, None]] = {_hashable(one["id"]): {} for one in images}
    counts = dict.fromkeys(of_image, 0)
    strays = 0
    for number, one in enumerate(_objects(source, found, "annotations"), start=1):
        image, category = _hashable(one.get("image_id")), _hashable(one.get("category_id"))
        if image not in of_image:
            strays += 1
            continue
        if category not in names:
            raise ColdframeError(
                f"{source}: annotation {number} has the category {category!r}, which is none of 'categories'; correct it"
            )
        of_image[image][names[category]] = None
        counts[image] += 1
    rows: list[dict[str, Any]] = []
    taken, of_licence = 0, {key: _bytes(one) for key, one in licences.items()}
    of_name = {name: _bytes(name) for name in names.values()}
    for image, (key, all_names) in zip(images, of_image.items(), strict=True):
        own = dict(image)
        licence = licences.get(_hashable(own.get("license")))
        if licence is not None:
            taken += of_licence[_hashable(own.get("license"))]
            own |= {"license": licence.get("name"), "license_url": licence.get("url")}
        several = list(all_names)
        taken += 2 * sum(of_name[name] for name in several)
        catalogue_limits.check_bytes(source, taken)  # a table repeats what many images share
        rows.append(own | {LABEL: several[0] if len(several) == 1 else None, ALL: several, "annotations": counts[key]})
    listed = json_rows.read_list(source, rows)
    ambiguous = sum(len(one) > 1 for one in of_image.values())
    notes = [f"{source}: read as COCO JSON, a row for each image"]
    if repeated:
        notes.append(f"{source}: left out {repeated} images that are listed once more, with the same values")
    if ambiguous:
        notes.append(
            f"{source}: {ambiguous} images are of several categories, so they have no label; see the column {ALL}"
        )
    if strays:
        notes.append(f"{source}: left out {strays} annotations of images that the file does not list")
    path = next((one for one in PATHS if one in listed.table.column_names), None)
    return Listed(listed.table, listed.numbers, tuple(notes), path=path, label=LABEL)


def _once(source: Path, images: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], int]:
    """The images without those that are listed again just alike, and how many these are.

    Raises:
        ColdframeError: two different images have the same id, so that their annotations cannot be told apart.
    """
    found: dict[Any, tuple[int, Mapping[str, Any]]] = {}
    for number, one in enumerate(images, start=1):
        first, before = found.setdefault(_id(source, "images", number, one), (number, one))
        if before != one:
            raise ColdframeError(
                f"{source}: images {first} and {number} have the same id {one['id']!r}: make the ids unique, in the annotations "
                "too, as after merging several files"
            )
    return [one for _, one in found.values()], len(images) - len(found)


def _objects(source: Path, found: Mapping[str, Any], part: str) -> Sequence[Mapping[str, Any]]:
    listed = found.get(part, [])
    if not isinstance(listed, list) or not all(isinstance(one, Mapping) for one in listed):
        raise ColdframeError(f"{source}: {part!r} is no list of objects, as COCO JSON has it")
    return listed


def _by_id(source: Path, found: Mapping[str, Any], part: str) -> dict[Any, Mapping[str, Any]]:
    objects = _objects(source, found, part)
    return {_id(source, part, number, one): one for number, one in enumerate(objects, start=1)}


def _names(source: Path, found: Mapping[str, Any], part: str, key: str) -> dict[Any, str]:
    names = {}
    for at, one in _by_id(source, found, part).items():
        if not isinstance(one.get(key), str):
            raise ColdframeError(f"{source}: the object with the id {at!r} in {part!r} has no {key!r}, expected text")
        names[at] = one[key]
    if len(_objects(source, found, part)) != len(names):
        raise ColdframeError(f"{source}: two objects in {part!r} have the same id; make them unique")
    return names


def _id(source: Path, part: str, number: int, one: Mapping[str, Any]) -> Any:
    if "id" not in one:
        raise ColdframeError(f"{source}: object {number} of {part!r} has no 'id', as COCO JSON has it")
    return _hashable(one["id"])


def _bytes(value: Any) -> int:
    """How many bytes a value takes as text."""
    return len(json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"))


def _hashable(value: Any) -> Any:
    return value if isinstance(value, str | int | None) else repr(value)
