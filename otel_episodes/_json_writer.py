"""Writing any value as JSON of bounded length, without running its code.

What a value is, is decided by its type and by what lies in it (`_looking`): nothing here calls ``repr``, a property or
an iterator of an object it does not know, since each may be slow, may raise, and may load half a database. Containers
are walked until the text is full, so a value of any size costs the same. Every leaf stands for itself: one that cannot
be read becomes ``<Type>``, and the rest is kept.
"""

from __future__ import annotations

from array import array
from collections import ChainMap, UserDict, UserList, UserString, deque
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from gc import get_referents
from json.encoder import encode_basestring  # C
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MappingProxyType, ModuleType, WrapperDescriptorType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from otel_episodes import _looking
from otel_episodes._boundary import is_ours
from otel_episodes._cutting import MARK, clean, window

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_episodes._redaction import Redactor

_MAX_DEPTH: Final = 8
_KEY_LIMIT: Final = 64
# Where the name of a value, and the value, stand in objects that are made of the two.
_TELLS: Final = ("name", "key", "Name", "Key", "header", "field", "variable")
_TOLD: Final = ("value", "Value", "values", "default")
_MARKED: Final = f'"{MARK}"'
# What a container keeps free for its end: a comma, the mark, the bracket.
_ARRAY_END: Final = len(f", {_MARKED}]")
OBJECT_END: Final = len(f", {_MARKED}: {_MARKED}}}")
# The least another item takes: a comma and a mark; for an object, a key and a mark.
ARRAY_ITEM: Final = len(f", {_MARKED}")
_OBJECT_ITEM: Final = len(f", {_MARKED}: {_MARKED}")
# A number this long may be a card's; from the second on, str() of it takes longer than is worth while.
_LONG_NUMBER: Final = 10**12
_BIG_NUMBER: Final = 1 << 256

# Values that are one text, each with the method that gives it: the class's own, a subclass is not asked.
_PLAIN: Final[tuple[tuple[type, Callable[[Any], str]], ...]] = (
    *((kind, kind.__str__) for kind in (datetime, date, time, timedelta, PurePath, Decimal, Fraction, UUID)),
    (complex, complex.__repr__),
    (range, range.__repr__),
)
_PLAIN_TYPES: Final = tuple(kind for kind, _ in _PLAIN)
_BYTES: Final = (bytes, bytearray, memoryview, array)
_ITERABLES: Final[tuple[Any, ...]] = (
    list, tuple, set, frozenset, deque, type({}.keys()), type({}.values()), type({}.items()),
)  # fmt: skip
_CALLED_BY_NAME: Final = _looking.ids_of(FunctionType, BuiltinFunctionType)
# Arrays and frames, by class and package: what is told of them is their shape and type, never their content.
_SHAPED: Final = {
    "ndarray": ("numpy", "cupy"),
    "DataFrame": ("pandas", "polars"),
    "Series": ("pandas", "polars"),
    "Index": ("pandas",),
    "Table": ("pyarrow",),
    "RecordBatch": ("pyarrow",),
    "Tensor": ("torch",),
    "ArrayImpl": ("jaxlib", "jax"),
    "DataArray": ("xarray",),
}
# An exception made of nothing else can say what it is without running anybody's code.
_EXACT: Final = _looking.ids_of(str, int, float, bool, bytes, type(None))


class JsonWriter:
    """Write JSON until ``limit`` characters are used; every open container keeps room for its end.

    ``is_cut`` says that something was left out for want of room.
    """

    __slots__ = ("is_cut", "left", "out", "redactor")

    def __init__(self, limit: int, redactor: Redactor | None) -> None:
        self.left = limit
        self.is_cut = False
        self.out: list[str] = []
        self.redactor = redactor

    def write(self, value: Any, depth: int) -> None:  # any value at all
        """Write a value; one that cannot be read is written as its type."""
        kind = type(value)
        if kind is str:
            self._string(value, self.left)
        elif value is None or kind is bool:
            self._scalar("null" if value is None else "true" if value else "false")
        elif kind is int or kind is float:
            self._number(value)
        else:
            written, left = len(self.out), self.left
            try:
                self._composed(value, kind, depth)
            except Exception as problem:  # noqa: BLE001  # what cannot be read is named, and the rest is kept
                pass_on(problem)
                del self.out[written:]
                self.left = left
                self._named(kind)

    def member(self, name: str, value: Any, depth: int) -> None:  # any value
        """Write the value that stands under a name: masked whole if that is the name of a secret."""
        if self.redactor is not None and self.redactor.masks(name, value):
            self._string(self.redactor.masked(value), self.left)
        else:
            self.write(value, depth)

    # --- by type ---------------------------------------------------------------------------------------------------

    def _composed(self, value: Any, kind: type, depth: int) -> None:
        if depth >= _MAX_DEPTH:
            self._put(_MARKED)
        elif kind is dict or issubclass(kind, dict):
            self._object(dict.items(value), depth, _told_name(value))
        elif kind is list or kind is tuple:
            self._array(value, depth)
        elif not self._leaf(value, kind) and not self._foreign_leaf(value, kind):
            self._container(value, kind, depth)

    def _leaf(self, value: Any, kind: type) -> bool:
        """Write a value that has no parts; False if it is not one."""
        if issubclass(kind, (str, int, float)):
            self.write(_builtin(value, kind), 0)
        elif issubclass(kind, Enum):
            self.write(_looking.stored(value, "_name_") or _looking.stored(value, "_value_"), _MAX_DEPTH)
        elif issubclass(kind, _PLAIN_TYPES):
            self._string(next(render for plain, render in _PLAIN if issubclass(kind, plain))(value), self.left)
        elif issubclass(kind, _BYTES):
            self._named(kind, f"of {memoryview(value).nbytes} bytes")
        elif issubclass(kind, BaseException):
            message = exception_message(value)
            name = _looking.name_of(kind)
            self._string(f"{name}: {message}" if message else name, self.left)
        elif issubclass(kind, type):
            self._string(f"<class {_looking.name_of(value)}>", self.left)
        elif id(kind) in _CALLED_BY_NAME:
            self._named(kind, value.__name__)
        elif kind is ModuleType:
            self._named(kind, dict.get(_looking.own_dict(value), "__name__", ""))
        else:
            return False
        return True

    def _foreign_leaf(self, value: Any, kind: type) -> bool:
        """Write a number of numpy's, or the shape of an array or a frame; False if it is neither."""
        for base in _looking.mro(kind):
            name = _looking.name_of(base)
            if name == "generic" and _looking.package_of(base) == "numpy":
                self.write(_from_numpy(value, kind, base), _MAX_DEPTH - 2)
                return True
            if name in _SHAPED and _looking.package_of(base) in _SHAPED[name]:
                self._named(kind, _shape(value, base))
                return True
        return False

    def _container(self, value: Any, kind: type, depth: int) -> None:
        if issubclass(kind, tuple):
            names = _looking.class_value(kind, "_fields")
            if type(names) is tuple and len(names) == tuple.__len__(value):
                self._object(zip(names, tuple.__iter__(value), strict=True), depth)
                return
        for iterable in _ITERABLES:
            if issubclass(kind, iterable):
                self._array(iterable.__iter__(value), depth)
                return
        if kind is MappingProxyType:
            (mapping,) = get_referents(value)
            self.write(mapping, depth) if issubclass(type(mapping), dict) else self._named(kind)
        elif issubclass(kind, (UserDict, UserList, UserString)):
            self.write(_looking.stored(value, "data"), depth)
        elif issubclass(kind, ChainMap):
            maps = _looking.stored(value, "maps")
            self.write({key: item for part in reversed(maps) for key, item in dict.items(part)}, depth)
        else:
            fields = _looking.fields(value)
            # Of an unknown object, and of a record of which nothing is loaded, the type is told.
            self._object(fields, depth) if fields else self._named(kind)

    # --- pieces of JSON --------------------------------------------------------------------------------------------

    def _named(self, kind: type, what: object = "") -> None:
        """Write what stands for a value that is not written out: its type, and what is told of it."""
        name = _looking.name_of(kind)
        self._string(f"<{name} {what}>" if what else f"<{name}>", self.left)

    def _put(self, piece: str) -> None:
        self.out.append(piece)
        self.left -= len(piece)

    def _cut(self, piece: str) -> None:
        self.is_cut = True
        self._put(piece)

    def _scalar(self, piece: str) -> None:
        if len(piece) <= self.left:
            self._put(piece)
        else:
            self._cut(_MARKED)

    def _string(self, value: str, room: int) -> None:
        if len(value) <= room - 2:
            piece, more = clean(value, self.redactor), False
        else:
            piece, more = window(value, room, self.redactor)
        encoded = encode_basestring(piece)
        while more or len(encoded) > room:
            more, self.is_cut = False, True
            # Escapes make it longer than it looks: shrink by as much as they do, and once more if need be.
            keep = min(room - 3, (room - 3) * len(piece) // max(len(encoded) - 2, 1), len(piece) - 1)
            piece = piece[: max(keep, 0)]
            encoded = encode_basestring(piece + MARK)
            if not piece:
                break
        self._put(encoded)

    def _number(self, value: float) -> None:
        if isinstance(value, int):
            if -_LONG_NUMBER < value < _LONG_NUMBER:
                self._scalar(str(value))
            else:
                self._long_number(value)
        elif value - value == 0:
            self._scalar(repr(value))
        else:
            self._scalar(f'"{value}"')  # JSON has no NaN and no infinity

    def _long_number(self, value: int) -> None:
        if not -_BIG_NUMBER < value < _BIG_NUMBER:
            self._string(f"<int of {value.bit_length()} bits>", self.left)
        elif clean(str(value), self.redactor) == str(value):
            self._scalar(str(value))
        else:
            self._string(str(value), self.left)

    def _array(self, values: Any, depth: int) -> None:
        if self.left < _ARRAY_END + 1:
            self._cut(_MARKED)
            return
        self._put("[")
        self.left -= _ARRAY_END
        separator = ""
        first = before = None
        try:
            for value in values:
                if self.left < ARRAY_ITEM:
                    self._cut(separator + _MARKED)
                    break
                self._put(separator)
                if before is not None and self.redactor is not None and self.redactor.follows(first, before, value):
                    self._string(self.redactor.masked(value), self.left)
                else:
                    self.write(value, depth + 1)
                first, before = first or value, value
                separator = ", "
        except RuntimeError as problem:  # it changed meanwhile, as one that is shared with a thread does
            pass_on(problem)
            self._cut(separator + _MARKED)
        self._end("]", _ARRAY_END)

    def _object(self, items: Any, depth: int, told: str = "") -> None:
        if self.left < OBJECT_END + 1:
            self._cut(_MARKED)
            return
        self._put("{")
        self.left -= OBJECT_END
        separator = ""
        try:
            for key, value in items:
                if self.left < _OBJECT_ITEM:
                    self._cut(f"{separator}{_MARKED}: {_MARKED}")
                    break
                self._put(separator)
                name = key if type(key) is str else _key(key)
                if len(name) > _KEY_LIMIT:
                    name = window(name, _KEY_LIMIT, self.redactor)[0][:_KEY_LIMIT]
                self._string(name, self.left - len(_MARKED) - 2)
                self._put(": ")
                self.member(told if told and name in _TOLD else name, value, depth + 1)
                separator = ", "
        except RuntimeError as problem:  # as for an array
            pass_on(problem)
            self._cut(f"{separator}{_MARKED}: {_MARKED}")
        self._end("}", OBJECT_END)

    def _end(self, piece: str, kept: int) -> None:
        self.left += kept
        self._put(piece)


def _told_name(values: dict[Any, Any]) -> str:
    """Return the name that an object gives to its value: DB_PASSWORD of ``{"name": "DB_PASSWORD", "value": "X"}``."""
    if any(dict.__contains__(values, name) for name in _TOLD):
        for name in _TELLS:
            told = dict.get(values, name)
            if type(told) is str:
                return told
    return ""


def encoded_key(name: str, redactor: Redactor | None) -> str:
    """Return the name of a member as JSON."""
    return encode_basestring(clean(window(name, _KEY_LIMIT, redactor)[0][:_KEY_LIMIT], redactor))


def exception_message(error: BaseException) -> str:
    """Return ``str(error)``, or what can be said where that raises.

    An exception's own ``__str__`` is asked, since that is what it is for; but not those of the objects in it.
    """
    kind = type(error)
    arguments: tuple[object, ...] = _arguments_of(error)
    if type(_looking.class_value(kind, "__str__")) is WrapperDescriptorType and not all(
        id(type(argument)) in _EXACT for argument in arguments
    ):
        writer = JsonWriter(_EXCEPTION_LIMIT, None)
        writer.write(arguments[0] if len(arguments) == 1 else arguments, 0)
        return "".join(writer.out).strip('"')
    try:
        return str.__str__(str(error))
    except Exception as problem:  # noqa: BLE001  # an exception's __str__ is anybody's code
        pass_on(problem)
        return f"<{_looking.name_of(kind)} whose str() raises>"


_EXCEPTION_LIMIT: Final = 1024
_arguments_of: Final[Any] = BaseException.__dict__["args"].__get__  # a descriptor in C


def pass_on(error: Exception) -> None:
    """Raise an exception again that did not arise in what was read: a time limit that struck meanwhile."""
    if not is_ours(error):
        raise error


def _key(key: object) -> str:
    """Return a key of a dict, not a string of the builtin type, as a member's name."""
    kind = type(key)
    if key is None or kind is bool:
        return {None: "null", True: "true", False: "false"}[key]  # type: ignore[index]
    if issubclass(kind, (str, float)):
        return str(_builtin(key, kind))[:_KEY_LIMIT]
    if issubclass(kind, int):
        number = int.__int__(key)  # type: ignore[arg-type]
        return str(number) if -_BIG_NUMBER < number < _BIG_NUMBER else "int"
    if issubclass(kind, Enum):
        return str(_looking.stored(key, "_name_"))[:_KEY_LIMIT]
    return _looking.name_of(kind)


def _builtin(value: Any, kind: type) -> Any:  # a string or number of a subclass
    """Return a string or number of a subclass as the builtin type it is made of."""
    if issubclass(kind, str):
        return str.__str__(value)
    return int.__int__(value) if issubclass(kind, int) else float.__float__(value)


def _from_numpy(value: Any, kind: type, generic: type) -> object:
    if _looking.name_of(kind) in ("datetime64", "timedelta64"):
        return str(value)  # what `item` gives depends on the unit
    item = _looking.class_value(generic, "item")(value)
    # A long double is an item of its own kind.
    return float(value) if type(item) is kind else item


def _shape(value: Any, base: type) -> str:
    """Return the shape of an array or a frame and the type of its items, as its own package tells them."""
    told = str(tuple(_looking.class_value(base, "shape").__get__(value, base)))
    dtype = _looking.class_value(base, "dtype")
    return told if dtype is _looking.MISSING else f"{told} {dtype.__get__(value, base)}"
