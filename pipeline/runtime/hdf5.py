"""HDF5 files that may come from a stranger: what one holds, and whether it takes no more memory than it has bytes.

HDF5 can keep names, attributes and descriptions compressed or shared, not only arrays, and then unfolds them as soon as they
are looked for. So each object's header is read before the object is opened, and only what Keras writes may be in it.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST_OBJECTS = 100_000  # in a file: groups and arrays
MOST_PATH = 4096  # bytes of the names that lead to an object: HDF5 keeps them all with each that is open
MOST_ATTRIBUTES = 100  # of an object: some of its own, and lists of names in pieces of 64 KB
MOST_TYPE = 32  # characters of the name of a type
SIGNATURE = b"\x89HDF\r\n\x1a\n"
NOWHERE = b"\xff" * 8  # in place of an address
KINDS = "biuf"  # kinds of values: truth values and numbers
_READ = re.compile("(layer_names|weight_names)[0-9]*|keras_version|backend")  # attributes of groups that Keras reads

# Parts of an object's header, as bits in order of their numbers in HDF5's description of its format.
_LINK_INFO, _EXTERNAL, _FILTERS = 1 << 0x02, 1 << 0x07, 1 << 0x0B
_OF_ANY = (
    1 << 0x00 | 1 << 0x0C | 1 << 0x0E | 1 << 0x10 | 1 << 0x12 | 1 << 0x15
)  # attributes, times, and where it goes on
_OF_GROUPS = _OF_ANY | _LINK_INFO | 1 << 0x06 | 1 << 0x0A | 1 << 0x11  # names of its members
_OF_ARRAYS = _OF_ANY | 1 << 0x01 | 1 << 0x03 | 1 << 0x04 | 1 << 0x05 | 1 << 0x08  # shape, type, filling and place


class Unfit(ValueError):
    """A file that is refused; the message is the reason, without the file's name."""


def count_values(path: Path, *, has_lists: bool = False) -> int:
    """How many values the arrays of a file hold.

    Args:
        has_lists: whether Keras finds the arrays by lists of names in it, as it did in earlier versions.

    Raises:
        Unfit: the file claims more than it has, points elsewhere, or is not as Keras writes one.
    """
    h5py = _h5py()
    _check_beginning(path)
    size, taken, values = path.stat().st_size, 0, 0
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise Unfit(f"it cannot be read ({error})") from None
    with file:
        for name, one in _objects(file, size):
            _check_attributes(name, one)
            if isinstance(one, h5py.Dataset):
                _check_array(name, one)
                taken += one.nbytes
                values += one.size
            if taken > size:
                raise Unfit("it claims more bytes than it has")
        if has_lists:
            _check_lists(file, size)
    return values


def _h5py() -> Any:  # which comes with Keras, and takes its time
    return importlib.import_module("h5py")


def _check_beginning(path: Path) -> None:
    """Raises:
    Unfit: a file does not begin with a header of HDF5, or with one that refers to shared parts of other headers.
    """
    with path.open("rb") as file:
        begin = file.read(28)
    if not begin.startswith(SIGNATURE) or len(begin) < 28:
        raise Unfit("it is no HDF5 file")
    version, address_size = begin[8], begin[9]
    if version >= 2 and (version > 3 or address_size != 8 or begin[20:28] != NOWHERE):
        raise Unfit("it begins in a way that Keras never writes")


def _objects(file: Any, size: int) -> Iterator[tuple[str, Any]]:
    """All groups and arrays of a file of ``size`` bytes, each once, with their names; a group before its members.

    Raises:
        Unfit: one occurs twice, is a link, or is something else, or the names have more bytes than the file.
    """
    h5py = _h5py()
    info = h5py.h5o.get_info(file.id)
    _check_header(info, "the whole")
    seen, left, headers = {info.addr}, size, info.hdr.space.total
    yield "/", file
    names = _names(file, left)
    open_groups = [(file, 0, iter(names))]
    left -= sum(map(len, names))
    while open_groups:
        group, above, rest = open_groups[-1]
        name = next(rest, None)
        if name is None:
            open_groups.pop()
            continue
        text, length = name.decode("utf8", "replace"), above + len(name) + 1
        place = f"{text[:100]!r} in it"
        if length > MOST_PATH or b"/" in name:
            raise Unfit(f"{place} has a name that Keras never writes")
        info = _info(group, name, place)
        if info.addr in seen:
            raise Unfit(f"{place} is there under another name as well")
        _check_header(info, place)
        headers += info.hdr.space.total  # pieces of one may lie over each other
        if headers > size:
            raise Unfit("its headers have more bytes than it has")
        if len(seen) == MOST_OBJECTS:
            raise Unfit(f"it holds more than {MOST_OBJECTS} objects")
        seen.add(info.addr)
        one = h5py.h5o.open(group.id, name)
        if info.type == h5py.h5o.TYPE_DATASET:
            yield text, h5py.Dataset(one)
            continue
        one = h5py.Group(one)
        yield text, one
        names = _names(one, left)
        left -= sum(map(len, names))
        open_groups.append((one, length, iter(names)))


def _names(group: Any, most: int) -> list[bytes]:
    """The names of a group's members.

    Raises:
        Unfit: they have more bytes than ``most``, or are too many. No more are read than that.
    """
    names: list[bytes] = []
    left = most

    def take(name: bytes) -> bool | None:
        nonlocal left
        left -= len(name)
        names.append(name)
        return True if left < 0 or len(names) > MOST_OBJECTS else None  # anything else than None ends the iteration

    group.id.links.iterate(take)
    if left < 0:
        raise Unfit("its names have more bytes than it has")
    if len(names) > MOST_OBJECTS:
        raise Unfit(f"it holds more than {MOST_OBJECTS} objects")
    return names


def _info(group: Any, name: bytes, place: str) -> Any:
    """What the header of a group's member says, before it is opened.

    Raises:
        Unfit: it is neither a group nor an array.
    """
    h5py = _h5py()
    if group.id.links.get_info(name).type != h5py.h5l.TYPE_HARD:
        raise Unfit(f"{place} is a link")
    info = h5py.h5o.get_info(group.id, name)
    if info.type not in (h5py.h5o.TYPE_GROUP, h5py.h5o.TYPE_DATASET):
        raise Unfit(f"{place} is neither a group nor an array")
    return info


def _check_header(info: Any, place: str) -> None:
    """Raises:
    Unfit: an object's header has something that Keras never writes.
    """
    if info.num_attrs > MOST_ATTRIBUTES:  # HDF5 makes something of each as soon as one is looked for
        raise Unfit(f"{place} has more than {MOST_ATTRIBUTES} attributes")
    parts, is_group = info.hdr.mesg.present, info.type == _h5py().h5o.TYPE_GROUP
    if parts & _FILTERS:
        raise Unfit(f"{place} is compressed, which Keras never writes")
    if parts & _EXTERNAL or info.hdr.mesg.shared:
        raise Unfit(f"{place} lies elsewhere")
    # what lies outside the header lies in a heap, which has filters of its own
    outside = [info.meta_size.attr, *([info.meta_size.obj] if is_group and parts & _LINK_INFO else [])]
    if parts & ~(_OF_GROUPS if is_group else _OF_ARRAYS) or any(one.index_size or one.heap_size for one in outside):
        raise Unfit(f"{place} is kept in a way that Keras never writes")


def _check_attributes(name: str, one: Any) -> None:
    """Raises:
    Unfit: an attribute of an object is neither text nor numbers, or its type is one for many, which HDF5 makes again for each.
    """
    h5py = _h5py()

    def is_odd(key: bytes) -> bool | None:
        kind = h5py.h5a.open(one.id, key).get_type()
        is_plain = kind.get_class() in (h5py.h5t.STRING, h5py.h5t.INTEGER, h5py.h5t.FLOAT) and not kind.committed()
        return None if is_plain else True  # anything else than None ends the iteration

    if h5py.h5a.iterate(one.id, is_odd):
        raise Unfit(f"{name[:100]!r} in it has an attribute of a type that Keras never writes")


def _check_array(name: str, one: Any) -> None:
    """Raises:
    Unfit: an array is not stored in the way Keras writes it.
    """
    h5py = _h5py()
    place = f"the array {name[:100]!r} in it"
    if one.is_virtual:
        raise Unfit(f"{place} lies elsewhere")
    numbers = (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM, h5py.h5t.OPAQUE)
    kind = one.id.get_type()
    is_other = kind.get_class() not in numbers or (isinstance(kind, h5py.h5t.TypeEnumID) and kind.get_nmembers() > 2)
    if is_other or one.shape is None:  # of two words are truth values
        raise Unfit(f"{place} holds no numbers")
    is_bfloat16 = one.dtype.kind == "V" and one.dtype.names is None and one.dtype.itemsize == 2
    if not (one.dtype.kind in KINDS or is_bfloat16):
        raise Unfit(f"{place} holds no numbers")
    if one.nbytes > one.id.get_storage_size():
        raise Unfit(f"{place} claims {one.nbytes} bytes, and has {one.id.get_storage_size()}")
    if h5py.h5a.exists(one.id, b"dtype"):  # the only attribute of an array that Keras reads
        said = h5py.h5a.open(one.id, b"dtype")
        if said.shape != () or said.get_type().get_class() != h5py.h5t.STRING:
            raise Unfit(f"{place} has no type")
        # reading it may take what it claims to have: here that has a limit
        if len(str(one.attrs["dtype"])) > MOST_TYPE:
            raise Unfit(f"{place} has no type")


def _check_lists(file: Any, size: int) -> None:
    """Raises:
    Unfit: a group names a member twice, which would then be loaded twice, or the lists have more bytes than the file.
    """
    h5py = _h5py()
    left = size
    for _, group in _objects(file, size):
        if not isinstance(group, h5py.Group):
            continue
        said: dict[str, list[Any]] = {"layer_names": [], "weight_names": []}
        for key in filter(_READ.fullmatch, group.attrs):
            held = h5py.h5a.open(group.id, key.encode())
            kind = held.get_type().get_class()
            # a list of no names, which every layer without weights has, is written as one of no numbers
            if held.shape == (0,) and kind in (h5py.h5t.INTEGER, h5py.h5t.FLOAT):
                continue
            if kind != h5py.h5t.STRING:  # lists of lists could hold one another
                raise Unfit(f"the {key} of {_place(group)} in it are no text")
            value = group.attrs[key]
            texts = [value] if isinstance(value, str | bytes) else list(getattr(value, "flat", ()))
            left -= sum(map(len, texts))
            if left < 0:
                raise Unfit("its lists of names have more bytes than it has")
            said.get(key.rstrip("0123456789"), []).extend(texts)
        for list_of, names in said.items():
            found = [h5py.h5o.get_info(group[name].id).addr for name in names if name in group]
            if len(set(found)) < len(found):
                raise Unfit(f"the {list_of} of {_place(group)} in it have one twice")


def _place(group: Any) -> str:
    return repr(str(group.name)[:100])
