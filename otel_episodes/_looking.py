"""Reading objects without running their code.

Everything here is answered by the interpreter: the type, what its namespaces hold, the instance's own dict and slots.
No ``__class__``, property, descriptor or ``__getattr__`` of somebody else is asked, so that a lazy object stays lazy, a
remote stub makes no round trip, and a proxy or mock is seen as what it is.
"""

from __future__ import annotations

from types import GetSetDescriptorType, MemberDescriptorType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MISSING: Final[Any] = object()
_NOTHING: Final[dict[str, Any]] = {}

# The type's own descriptors: a metaclass may answer `kind.__name__` with code of its own, these it cannot.
mro: Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__
name_of: Callable[[type], str] = type.__dict__["__name__"].__get__
_namespace: Callable[[type], Mapping[str, Any]] = type.__dict__["__dict__"].__get__
_module: Callable[[type], Any] = type.__dict__["__module__"].__get__


def module_of(kind: type) -> str:
    """Return the module a class says it is from; empty if it says nothing readable."""
    module = _module(kind)
    return module if type(module) is str else ""


def package_of(kind: type) -> str:
    """Return the top-level package a class says it is from: enough to know it without importing it."""
    return module_of(kind).partition(".")[0]


def class_value(kind: type, name: str) -> Any:  # whatever the class holds
    """Return what stands under a name in a class or its bases, as it stands there, or `MISSING`."""
    for base in mro(kind):
        namespace = _namespace(base)
        if name in namespace:
            return namespace[name]
    return MISSING


def ids_of(*kinds: type) -> frozenset[int]:
    """Return what tells kinds apart that last: ``id(type(value)) in ids`` asks no metaclass for hash or equality."""
    return frozenset(map(id, kinds))


def own_dict(value: object) -> dict[str, Any]:
    """Return the dict of an instance; empty if it has none or hides it."""
    descriptor = class_value(type(value), "__dict__")
    kind = type(descriptor)
    if kind is GetSetDescriptorType or kind is MemberDescriptorType:
        found = descriptor.__get__(value)
        if issubclass(type(found), dict):
            return found  # type: ignore[no-any-return]
    return _NOTHING


def stored(value: object, name: str) -> Any:  # any value
    """Return what is stored in an instance under a name, in its dict or in a slot, or `MISSING`."""
    found = dict.get(own_dict(value), name, MISSING)
    if found is MISSING:
        descriptor = class_value(type(value), name)
        if type(descriptor) is MemberDescriptorType:
            try:
                return descriptor.__get__(value)
            except AttributeError:
                return MISSING  # an empty slot
    return found


def attribute(value: object, name: str) -> Any:  # any value
    """Return an attribute that can be read without computing it, or `MISSING`: stored, or a plain value of the class.

    A mapping is asked for its item.
    """
    kind: Any = type(value)
    if issubclass(kind, dict):
        return dict.get(value, name, MISSING)  # type: ignore[call-overload]
    found = stored(value, name)
    if found is MISSING:
        extra = stored(value, "__pydantic_extra__")
        if type(extra) is dict and name in extra:
            return extra[name]
        found = class_value(kind, name)
        if found is not MISSING and class_value(type(found), "__get__") is not MISSING:
            return MISSING  # a descriptor: reading it runs code
    return found


def fields(value: object) -> list[tuple[str, Any]] | None:
    """Return the fields of a record with their values, or None for any other object.

    Records are dataclasses, attrs and msgspec classes, pydantic models, simple namespaces and finished processes. A
    field whose author keeps it out of the ``repr`` is left out here too, and one that is not loaded.
    """
    kind = type(value)
    names = _field_names(kind)
    if names is None:
        return list(own_dict(value).items()) if kind is SimpleNamespace else None
    known = [(name, stored(value, name)) for name in names]
    extra = stored(value, "__pydantic_extra__")
    return [(name, found) for name, found in known if found is not MISSING] + (
        list(extra.items()) if type(extra) is dict else []
    )


def _field_names(kind: type) -> Iterable[str] | None:
    for marker in ("__dataclass_fields__", "__pydantic_fields__"):
        by_name = class_value(kind, marker)
        if type(by_name) is dict:
            return [name for name, field in by_name.items() if stored(field, "repr") is not False]
    attributes = class_value(kind, "__attrs_attrs__")
    if issubclass(type(attributes), tuple):
        return [stored(field, "name") for field in attributes if stored(field, "repr") is not False]
    for marker in ("__struct_fields__", "__fields__"):
        names = class_value(kind, marker)
        if type(names) is tuple or type(names) is dict:
            return [name for name in names if type(name) is str]
    if name_of(kind) == "CompletedProcess" and module_of(kind) == "subprocess":
        return "returncode", "stdout", "stderr"
    return None
