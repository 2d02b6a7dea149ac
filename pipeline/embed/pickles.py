"""Pickled tensors: a file of a few bytes must not become any number of them.

The program of a pickle is followed, before anything runs it, by a small interpreter that knows only what :func:`torch.save`
writes for a dictionary of tensors. What passes makes a tree: no dictionary or list lies in two places, so whatever walks what
was loaded takes no more steps than the program has bytes, or a few times as many.
"""

from __future__ import annotations

import os
import pickletools
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from store import arrays, opening

MOST_PROGRAM = 4 * 2**20  # bytes of what says which tensors a pickle has
MOST_NOTE = 64  # bytes of a member that is neither the program nor numbers
MOST_DEPTH = 64  # dictionaries, lists and tuples in one another, and dimensions of a tensor
MOST_KEY = 1000  # characters
MOST_SHARED = 4  # numbers in a tuple that lies in several places
LARGE = 1  # the extra field of a member with more than 4 GiB
MEMBER = re.compile(
    r"data\.pkl|data/(0|[1-9][0-9]{0,19})|(\.data/)?version|byteorder|\.format_version|\.storage_alignment"
    r"|\.data/serialization_id"
)
ALIGNMENT = re.compile(rb"[1-9][0-9]{0,4}")
FOREIGN = "it is not a file of tensors as torch writes it"

_TENSOR, _TYPED_TENSOR = "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3"
_EMPTY, _PARAMETER = "collections OrderedDict", "torch._utils _rebuild_parameter"
STORAGES = {  # and the bytes of a number in each
    "torch.storage UntypedStorage": 1,
    **dict.fromkeys(("torch ByteStorage", "torch CharStorage", "torch BoolStorage"), 1),
    **dict.fromkeys(("torch HalfStorage", "torch BFloat16Storage", "torch ShortStorage"), 2),
    **dict.fromkeys(("torch FloatStorage", "torch IntStorage"), 4),
    **dict.fromkeys(("torch DoubleStorage", "torch LongStorage", "torch ComplexFloatStorage"), 8),
    "torch ComplexDoubleStorage": 16,
}
CALLED = (_EMPTY, _TENSOR, _TYPED_TENSOR, _PARAMETER)
DTYPE = re.compile(r"torch (bool|(b?float|complex|u?int|bits)[0-9]+\w*)")
PUTS, GETS = ("BINPUT", "LONG_BINPUT"), ("BINGET", "LONG_BINGET")
# What pickle remembers as soon as it has made it.
REMEMBERED = ("EMPTY_DICT", "EMPTY_LIST", "BINUNICODE", "GLOBAL", "REDUCE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")


def check(file: Path) -> None:
    """Check that a pickle is an archive as torch writes it, that its program makes nothing but tensors, and that these have no
    more numbers than the file has bytes: a tensor may repeat a single number many times.

    Raises:
        ValueError: it is not so.
        OSError: it cannot be read, or is no regular file.
        Exception: of torch, if it cannot load it.
    """
    import torch

    with opening.open_regular(file, follow=True) as opened:
        with arrays.archive(opened) as members:
            sizes, program = _checked_members(opened, members)
        _Program(sizes).follow(program)
        opened.seek(0)
        held = torch.load(opened, map_location="meta", weights_only=True)
        size = opened.seek(0, os.SEEK_END)
    if sum(one.numel() for one in _tensors(held)) > size:
        raise ValueError("its tensors have more numbers than it has bytes")


def _tensors(held: Any) -> Iterator[Any]:
    """The tensors in what was loaded, however deep they lie."""
    import torch

    todo = [held]
    while todo:
        one = todo.pop()
        if isinstance(one, torch.Tensor):
            yield one
        elif isinstance(one, Mapping | list | tuple):
            todo += [*one.values(), getattr(one, "_metadata", None)] if isinstance(one, Mapping) else one


def _checked_members(file: BinaryIO, members: zipfile.ZipFile) -> tuple[dict[str, int], bytes]:
    """The bytes that each storage has, by its key, and the program, once all members are such as torch writes.

    Torch finds a member without regard to case, under the folder of the first; so there may be only names of its own.

    Raises:
        ValueError: there are others, or torch would read another program.
    """
    import torch

    top = members.infolist()[0].filename.partition("/")[0] if members.infolist() else ""
    sizes = dict[str, int]()
    for one in members.infolist():
        folder, _, name = one.filename.partition("/")
        if not top or folder != top or not MEMBER.fullmatch(name):
            raise ValueError(f"{FOREIGN}: it has {one.filename[:100]!r}")
        if arrays.extra_fields(one) not in ([], [LARGE]):
            raise ValueError(f"{FOREIGN}: it says more of {one.filename[:100]!r} than torch does")
        if not name.startswith("data/") and one.file_size > (MOST_PROGRAM if name == "data.pkl" else MOST_NOTE):
            raise ValueError(f"{FOREIGN}: its {name} has {one.file_size} bytes")
        sizes[name] = one.file_size
    if "data.pkl" not in sizes:
        raise ValueError(FOREIGN)
    file.seek(0)
    reader = torch._C.PyTorchFileReader(file)
    read = {name: members.read(f"{top}/{name}") for name in sizes if not name.startswith("data/")}
    is_same = sorted(reader.get_all_records()) == sorted(sizes)
    if not is_same or any(reader.get_record(name) != here for name, here in read.items()):
        raise ValueError(f"{FOREIGN}: it is another one for torch")
    # torch would turn numbers round in place, which crashes where they lie in the file as it is
    if read.get("byteorder", b"little") != b"little":
        raise ValueError(
            f"its numbers are in the byte order {read['byteorder'].decode('ascii', 'replace')!r}, expected 'little'"
        )
    # torch makes a text of so many bytes for each tensor, and divides by it
    if not ALIGNMENT.fullmatch(read.get(".storage_alignment", b"64")):
        raise ValueError(f"{FOREIGN}: its .storage_alignment is none")
    return {name[5:]: size for name, size in sizes.items() if name.startswith("data/")}, read["data.pkl"]


class _UnlikeTorch(Exception):
    """An operation that torch does not write in this place."""


def _require(holds: bool) -> None:
    if not holds:
        raise _UnlikeTorch


@dataclass(slots=True)
class _Thing:
    """What a program makes, beside numbers, text and None, which stand for themselves."""

    kind: str  # tuple, list, dict, ordered, storage, tensor, or the name of a global
    items: Any = ()  # what is in a tuple or a dictionary
    depth: int = 0
    is_value: bool = True  # what a dictionary or list may hold: no storage, and nothing that is called

    def hold(self, values: Sequence[Any]) -> None:
        """Count what comes to lie in it."""
        self.depth = max(self.depth, *(1 + one.depth for one in values if isinstance(one, _Thing)), 1)
        _require(self.depth <= MOST_DEPTH)


def _is(thing: Any, *kinds: str) -> bool:
    return isinstance(thing, _Thing) and thing.kind in kinds


def _is_value(thing: Any) -> bool:
    return not isinstance(thing, _Thing) or thing.is_value


def _is_count(thing: Any) -> bool:
    return type(thing) is int and 0 <= thing < 2**63


def _is_empty(thing: Any) -> bool:
    return _is(thing, "ordered") and not thing.depth


def _is_shape(thing: Any) -> bool:
    return _is(thing, "tuple") and len(thing.items) <= MOST_DEPTH and all(map(_is_count, thing.items))


def _is_tensor(given: Sequence[Any], *, typed: bool) -> bool:
    """Whether a tensor can be made of these."""
    storage, offset, shape, steps, learns, hooks, *more = given
    if typed:
        more = more[1:] if more and isinstance(more[0], _Thing) and DTYPE.fullmatch(more[0].kind) else [None]
    return (
        _is(storage, "storage")
        and _is_count(offset)
        and _is_shape(shape)
        and _is_shape(steps)
        and type(learns) is bool
        and _is_empty(hooks)
        and all(_is(one, "dict") and one.items.keys() <= {"conj", "neg"} for one in more)
        and len(more) <= 1
    )


class _Program:
    """Follows the program of a pickle, as torch's own loader would run it, without making anything."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        """Args:
        sizes: the bytes that each storage has, by its key.
        """
        self._sizes = sizes
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks below each mark
        self._memo: list[Any] = []

    def follow(self, program: bytes) -> None:
        """Raises:
        ValueError: the program has something that torch does not write for a dictionary of tensors.
        """
        just_made = False
        for operation, given, place in pickletools.genops(program):
            name = operation.name
            if name not in _STEPS:
                raise ValueError(f"its program has {name}, which none that torch writes has")
            try:
                _require((place == 0) == (name == "PROTO" and given == 2))
                _require(just_made == (name in PUTS))
                _STEPS[name](self, given)
                _require(name != "STOP" or place == len(program) - 1)
            except (_UnlikeTorch, IndexError):
                raise ValueError(f"its program has {name} where torch never writes it") from None
            just_made = name in REMEMBERED

    def push(self, thing: Any) -> None:
        self._stack.append(thing)

    def mark(self, _: None) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Any]:
        since, self._stack = self._stack, self._below.pop()
        return since

    def put(self, place: int) -> None:
        """Remember the last thing, at the next place as pickle does: others could be chosen so that looking them up is slow."""
        _require(place == len(self._memo))
        self._memo.append(self._stack[-1])

    def get(self, place: int) -> None:
        """Take again only what is as good as one thing; of tuples such as ``(0.9, 0.999)``, which may be a network's setting."""
        again = self._memo[place]
        _require(not _is(again, "list", "dict", "ordered"))
        if _is(again, "tuple"):
            _require(len(again.items) <= MOST_SHARED and all(type(one) in (int, float) for one in again.items))
        self.push(again)

    def name(self, given: str) -> None:
        is_type = bool(DTYPE.fullmatch(given))
        if not is_type and given not in STORAGES and given not in CALLED:
            raise ValueError(f"its program names {given[:60]!r}, which makes no tensor")
        self.push(_Thing(given, is_value=is_type))

    def gather(self, count: int | None) -> None:
        items = self._since_mark() if count is None else [self._stack.pop() for _ in range(count)][::-1]
        made = _Thing("tuple", items, is_value=all(map(_is_value, items)))
        made.hold(items)
        self.push(made)

    def append(self, several: bool) -> None:
        items = self._since_mark() if several else [self._stack.pop()]
        _require(_is(self._stack[-1], "list") and all(map(_is_value, items)))
        self._stack[-1].hold(items)

    def assign(self, several: bool) -> None:
        """Keys are text or small numbers: others could be chosen so that the dictionary is slow, or hash for ever."""
        pairs = self._since_mark() if several else [self._stack.pop(), self._stack.pop()][::-1]
        into, keys, values = self._stack[-1], pairs[::2], pairs[1::2]
        _require(_is(into, "dict", "ordered") and len(keys) == len(values) and all(map(_is_value, values)))
        _require(all(len(key) <= MOST_KEY if type(key) is str else _is_count(key) and key < 2**16 for key in keys))
        into.hold(values)
        into.items.update(zip(keys, values, strict=True))

    def storage(self, _: None) -> None:
        given = self._stack.pop()
        _require(_is(given, "tuple") and len(given.items) == 5)
        tag, kind, key, device, count = given.items
        _require(tag == "storage" and _is(kind, *STORAGES) and type(key) is type(device) is str and _is_count(count))
        _require(key in self._sizes and count * STORAGES[kind.kind] <= self._sizes[key])
        self.push(_Thing("storage", is_value=False))

    def call(self, _: None) -> None:
        """Call with just what torch gives: an ordered dictionary made of another would copy it."""
        given, called = self._stack.pop(), self._stack.pop()
        _require(_is(given, "tuple") and _is(called, *CALLED))
        if called.kind == _EMPTY:
            _require(not given.items)
        elif called.kind == _PARAMETER:
            _require(len(given.items) == 3)
            tensor, learns, hooks = given.items
            _require(_is(tensor, "tensor") and type(learns) is bool and _is_empty(hooks))
        else:
            _require(len(given.items) >= 6 and _is_tensor(given.items, typed=called.kind == _TYPED_TENSOR))
        self.push(_Thing("ordered", {}) if called.kind == _EMPTY else _Thing("tensor"))

    def build(self, _: None) -> None:
        """An ordered dictionary has one attribute, which a network's own dictionary of tensors has."""
        state = self._stack.pop()
        _require(_is(state, "dict") and state.items.keys() == {"_metadata"} and _is(self._stack[-1], "ordered"))
        self._stack[-1].hold([state])

    def stop(self, _: None) -> None:
        _require(not self._below and len(self._stack) == 1 and _is_value(self._stack[0]))


_STEPS: dict[str, Callable[[_Program, Any], None]] = {
    "PROTO": lambda program, given: None,
    "STOP": _Program.stop,
    "MARK": _Program.mark,
    "GLOBAL": _Program.name,
    "BINPERSID": _Program.storage,
    "REDUCE": _Program.call,
    "BUILD": _Program.build,
    "NEWTRUE": lambda program, given: program.push(True),
    "NEWFALSE": lambda program, given: program.push(False),
    "EMPTY_DICT": lambda program, given: program.push(_Thing("dict", {})),
    "EMPTY_LIST": lambda program, given: program.push(_Thing("list")),
    "EMPTY_TUPLE": lambda program, given: program.gather(0),
    "TUPLE": lambda program, given: program.gather(None),
    "TUPLE1": lambda program, given: program.gather(1),
    "TUPLE2": lambda program, given: program.gather(2),
    "TUPLE3": lambda program, given: program.gather(3),
    "APPEND": lambda program, given: program.append(False),
    "APPENDS": lambda program, given: program.append(True),
    "SETITEM": lambda program, given: program.assign(False),
    "SETITEMS": lambda program, given: program.assign(True),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "NONE"), _Program.push),
    **dict.fromkeys(PUTS, _Program.put),
    **dict.fromkeys(GETS, _Program.get),
}
