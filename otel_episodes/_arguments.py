"""The arguments of a call by their names, as they are when the call is made."""

from __future__ import annotations

import inspect
import sys
from json.encoder import encode_basestring_ascii  # C
from string import Formatter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import wrapt

from otel_episodes import _injected, _looking, _rendering
from otel_episodes._sameness import fingerprint
from otel_episodes._settings import ACTION_LIMIT
from otel_episodes.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from otel_episodes._redaction import Redactor

_FORMATTER = Formatter()
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
# Of a call that is told the short way, the strings together: it fits into whatever is kept.
_SHORT_CALL: Final = 128
# Under which name arguments stand whose names are not known.
_NAMELESS = "*"
# Whose decorators pass on the arguments as they get them.
_PASS_ON = frozenset(("functools", "contextlib", "wrapt", "tenacity", "backoff", "cachetools", "otel_episodes"))
# Defaults of these types are worth telling; of others, mostly, a framework makes something of.
_TOLD_DEFAULTS = _looking.ids_of(str, int, float, bool, type(None), list, tuple, dict)


class _Field(NamedTuple):
    """A field of a template: which argument, where it stands in a call, and the path below it."""

    name: str
    position: int
    path: str


# What is told of a call: the arguments as JSON, empty for none; the action, if there is a template; a key that is the
# same for the same call only; and the id of the tool call, where a framework tells it.
Call = tuple[str, str | None, object, str]


class _Shapes(NamedTuple):
    """What a call of strings looks like: arguments for ``%``, action for `str.format`, and how many there are.

    ``free`` is of a function, ``bound`` of a method.
    """

    free: tuple[str, str | None, int]
    bound: tuple[str, str | None, int]


class Arguments:
    """Names the arguments of one callable and puts them into an action.

    Binding is by position and name only: `inspect.Signature.bind` would check the call as well, at ten times the
    cost, and the call itself does that.
    """

    __slots__ = (
        "_all",
        "_defaults",
        "_exclude",
        "_include",
        "_injected",
        "_is_bound",
        "_is_certain",
        "_judged_by",
        "_name",
        "_names",
        "_owner",
        "_parts",
        "_rest",
        "_shapes",
    )  # fmt: skip

    def __init__(
        self,
        function: Callable[..., Any],
        template: str | None,
        *,
        include: Collection[str] | None = None,
        exclude: Collection[str] = (),
    ) -> None:
        """Read the signature and the template.

        Raises:
            UsageError: the template, ``include`` or ``exclude`` names an argument that the function does not have.
        """
        function = _inside(function)
        parameters = _parameters(function)
        known = parameters or []
        self._names = tuple(p.name for p in known if p.kind in _POSITIONAL)
        self._all = tuple(p.name for p in known if p.kind not in _VARIABLE)
        self._rest = next((p.name for p in known if p.kind is p.VAR_POSITIONAL), "")
        self._defaults = {p.name: p.default for p in known if p.default is not p.empty}
        self._injected = frozenset(p.name for p in known if _injected.asks_for_it(p.annotation, p.default))
        # A bound method and a class have no parameter that binding fills.
        self._is_bound = isinstance(function, type) or hasattr(function, "__self__")
        self._owner, self._name = ("", "") if self._is_bound else _owner_and_name(function)
        self._is_certain = _names_are_certain(function)
        self._include = None if include is None else _checked("include", include, parameters)
        self._exclude = _checked("exclude", exclude, parameters)
        self._parts = None if template is None else _parse(template, parameters, self._names)
        self._shapes: _Shapes | None = None
        self._judged_by: Any = self  # nobody yet

    def named(
        self,
        instance: object,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        injected: list[object] | None = None,
    ) -> dict[str, Any]:
        """Return what was asked by name: without what binding and frameworks put in, with the defaults that apply.

        What frameworks put in is added to ``injected``. Arguments whose names cannot be known stand under ``*``: those
        beyond the names, and those given by position to a decorated function of somebody else's that may put further
        ones in front.
        """
        if instance is None:
            instance, args = self._receiver(args)
        shift = instance is not None and not self._is_bound
        names = self._names[1:] if shift else self._names
        if self._is_certain or len(args) + sum(name in names for name in kwargs) >= len(names):
            values = dict(zip(names, args, strict=False))
            if len(args) > len(names):
                values[_NAMELESS] = args[len(names) :]
        else:
            values = {_NAMELESS: args} if args else {}
        if kwargs or len(values) < len(self._all) - shift:
            values = self._in_order(values, kwargs, self._names[:1] if shift else ())
        asked = {}
        for name, value in values.items():
            if name in self._injected or _injected.is_injected(name, value):
                if injected is not None:
                    injected.append(value)
            elif name not in self._exclude and (self._include is None or name in self._include):
                asked[name] = value
        return asked

    def _receiver(self, args: tuple[Any, ...]) -> tuple[object, tuple[Any, ...]]:
        """Take what a method is called on off the arguments, where it is handed on as one of them.

        That is what decorators do, and class methods since Python 3.13.
        """
        if not self._owner or not args:
            return None, args
        kind = args[0] if issubclass(type(args[0]), type) else type(args[0])
        if all(_looking.name_of(base) != self._owner for base in _looking.mro(kind)):
            return None, args
        if type(_looking.class_value(kind, self._name)) is staticmethod:
            return None, args
        return args[0], args[1:]

    def _in_order(self, given: dict[str, Any], kwargs: Mapping[str, Any], skipped: tuple[str, ...]) -> dict[str, Any]:
        """Return the arguments in the order of the signature, with the defaults of those that were not given."""
        values = {**given, **kwargs}
        ordered = {}
        for name in self._all:
            if name in values:
                ordered[name] = values.pop(name)
            elif name not in skipped and _NAMELESS not in given:
                default = self._defaults.get(name, _looking.MISSING)
                if id(type(default)) in _TOLD_DEFAULTS:
                    ordered[name] = default
        return {**ordered, **values}

    def call(
        self, instance: object, args: tuple[Any, ...], kwargs: Mapping[str, Any], redactor: Redactor | None, limit: int
    ) -> Call:
        """Tell a call: its arguments as JSON of at most ``limit`` characters, and the template filled in."""
        if redactor is not self._judged_by:
            self._judge(redactor)
        if not kwargs and self._shapes is not None:
            told = self._short_call(self._shapes, instance, args, redactor)
            if told is not None:
                return told
        injected: list[object] = []
        values = self._masked(self.named(instance, args, kwargs, injected), redactor)
        told_values, is_cut = _rendering.fair_json(values, limit, redactor) if values else ("", False)
        action = None if self._parts is None else self._action(instance, args, kwargs, redactor)
        call_id = next(filter(None, map(_injected.call_id, injected)), "")
        return told_values, action, fingerprint(values) if is_cut else told_values, call_id

    def _short_call(
        self, shapes: _Shapes, instance: object, args: tuple[Any, ...], redactor: Redactor | None
    ) -> Call | None:
        """Tell a call with a few short strings in which nothing is masked or escaped, as most are; None for any other.

        It executes a fifth of what the general way does, on every step; a test compares them. One look for secrets is
        enough for arguments and action.
        """
        if instance is None:
            arguments, action, count = shapes.free
        else:
            arguments, action, count = shapes.bound
        if len(args) != count:
            return None
        for value in args:
            if type(value) is not str:
                return None
        raw = "\n".join(args)
        if len(raw) > _SHORT_CALL or len(encode_basestring_ascii(raw)) - len(raw) != count + 1:
            return None  # too long, or to be escaped
        told = arguments % args
        if action is None:
            return None if redactor is not None and redactor.suspects(raw) else (told, None, told, "")
        done = action.format(*args)
        if len(done) > ACTION_LIMIT:
            return None
        if redactor is not None and redactor.suspects(f"{done}\n{raw}"):
            return None
        return told, done, told, ""

    def _judge(self, redactor: Redactor | None) -> None:
        """Work out what a call of short strings looks like, unless something in it is masked or left out."""
        self._judged_by, self._shapes = redactor, None
        has_secret = redactor is not None and any(redactor.secret_name(name) for name in (*self._names, self._rest))
        leaves_out = self._injected or self._exclude or self._include is not None
        if has_secret or leaves_out or not self._is_certain or self._all != self._names or not self._names:
            return
        action = None if self._parts is None else _positional(self._parts)
        arguments = _object_of(self._names)
        if len(arguments) + _SHORT_CALL > ACTION_LIMIT or (action is None and self._parts is not None):
            return
        # What another decorator hands on may have the receiver among it: that is for the general way to tell.
        free = -1 if self._owner else len(self._names)
        shift = 0 if self._is_bound else 1
        self._shapes = _Shapes(
            (arguments, action and action(0), free),
            (_object_of(self._names[shift:]), action and action(shift), len(self._names) - shift),
        )

    def action(
        self, instance: object, args: tuple[Any, ...], kwargs: Mapping[str, Any], redactor: Redactor | None
    ) -> str | None:
        """Render the action of at most 256 characters: the template filled in, or the arguments as JSON."""
        if self._parts is None:
            return self.call(instance, args, kwargs, redactor, ACTION_LIMIT)[0] or None
        return self._action(instance, args, kwargs, redactor)

    def _action(
        self, instance: object, args: tuple[Any, ...], kwargs: Mapping[str, Any], redactor: Redactor | None
    ) -> str:
        if instance is None:
            instance, args = self._receiver(args)
        shift = instance is not None and not self._is_bound
        return _rendering.text(
            self._filled(self._parts or (), args, kwargs, redactor, shift=shift), ACTION_LIMIT, redactor
        )

    def _masked(self, values: dict[str, Any], redactor: Redactor | None) -> dict[str, Any]:
        """Mask what stands under ``*`` where one of the names it may belong to is a secret's."""
        if redactor is None or _NAMELESS not in values:
            return values
        if any(redactor.secret_name(name) for name in (*self._names, self._rest)):
            values[_NAMELESS] = [redactor.masked(value) for value in values[_NAMELESS]]
        return values

    def _filled(
        self,
        parts: Sequence[tuple[str, _Field | None]],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        redactor: Redactor | None,
        *,
        shift: bool,
    ) -> str:
        """Return the template filled in, as long as it is and with only the secrets masked that are known by name."""
        rendered = []
        for literal, field in parts:
            rendered.append(literal)
            if field is not None:
                name, position, path = field
                position -= shift
                if 0 <= position < len(args):
                    value = args[position]
                elif name in kwargs:
                    value = kwargs[name]
                else:
                    value = self._defaults.get(name, _rendering.MARK)
                if redactor is not None and (redactor.masks(name, value) or (path and redactor.secret_name(path))):
                    rendered.append(redactor.masked(value))
                elif type(value) is str and not path and len(value) < ACTION_LIMIT:
                    rendered.append(value)
                else:
                    rendered.append(_part(value, path, redactor))
        return "".join(rendered)


def _object_of(names: Sequence[str]) -> str:
    return "{" + ", ".join(f'"{name}": "%s"' for name in names) + "}"


def _positional(parts: Sequence[tuple[str, _Field | None]]) -> Callable[[int], str] | None:
    """Return the template for `str.format`, by the number of arguments before the first; None if it has paths."""
    if any(field is not None and (field.path or field.position == sys.maxsize) for _, field in parts):
        return None

    def shifted(shift: int) -> str:
        return "".join(
            literal.replace("{", "{{").replace("}", "}}") + ("" if field is None else f"{{{field.position - shift}}}")
            for literal, field in parts
        )

    return shifted


def _part(value: Any, path: str, redactor: Redactor | None) -> str:  # any argument
    if path:
        try:
            # The one place where a property is asked: the template says to.
            value = _FORMATTER.get_field("0" + path, (value,), {})[0]
        except Exception as problem:  # noqa: BLE001  # whatever the property does
            _rendering.pass_on(problem)
            return _rendering.MARK
    return _rendering.text(value, ACTION_LIMIT, redactor)


def _inside(function: Any) -> Any:
    """Return what a class method, a static method or a recorded function is made of."""
    while isinstance(function, (classmethod, staticmethod)) or type(function).__module__ == "otel_episodes._decorate":
        function = function.__wrapped__
    return function


def _parameters(function: Any) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        return None  # some builtins have no signature


def _owner_and_name(function: Any) -> tuple[str, str]:
    """Return the class whose body a function stands in, empty for none, and the function's name.

    It is Inner for ``make.<locals>.Inner.method``, and none for ``make.<locals>.inner``.
    """
    path = str(getattr(function, "__qualname__", "")).split(".")
    is_method = inspect.isroutine(function) and len(path) > 1 and path[-2] != "<locals>"
    return path[-2] if is_method else "", path[-1]


def _names_are_certain(function: Any) -> bool:
    """Return False for the wrapper of another decorator that takes any arguments and has the signature of the inside.

    It may put an argument in front of those it gets: then every value would stand under its neighbour's name.
    """
    if not hasattr(function, "__wrapped__") or isinstance(function, wrapt.ObjectProxy):
        return True
    module = getattr(function, "__globals__", {}).get("__name__", "")
    if module.partition(".")[0] in _PASS_ON:
        return True
    try:
        own = inspect.signature(function, follow_wrapped=False).parameters.values()
    except (ValueError, TypeError):
        return True
    return not any(p.kind is p.VAR_POSITIONAL for p in own)


def _checked(option: str, names: Collection[str], parameters: list[inspect.Parameter] | None) -> frozenset[str]:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{option}={names!r} must be a list of the names of arguments")
    known = {p.name for p in parameters or ()}
    unknown = sorted(set(names) - known)
    if unknown and not _is_open(parameters):
        arguments = ", ".join(sorted(known)) or "none"
        raise UsageError(f"{option} names {', '.join(unknown)}, but the arguments are: {arguments}")
    return frozenset(names)


def _is_open(parameters: list[inspect.Parameter] | None) -> bool:
    return parameters is None or any(p.kind in _VARIABLE for p in parameters)


def _parse(
    template: str, parameters: list[inspect.Parameter] | None, names: tuple[str, ...]
) -> tuple[tuple[str, _Field | None], ...]:
    """Split ``"search {pattern} in {repo.name}"`` into literals and (argument, rest of the path)."""
    known = {p.name for p in parameters or ()}
    is_open = _is_open(parameters)
    parts: list[tuple[str, _Field | None]] = []
    try:
        parsed = list(_FORMATTER.parse(template))
    except ValueError as error:
        raise UsageError(f"action={template!r} is no format string ({error}): write a literal brace as {{{{") from error
    for literal, field, _, _ in parsed:
        if field is None:
            parts.append((literal, None))
            continue
        root = field.replace("[", ".").split(".", 1)[0]
        if not root or (root not in known and not is_open):
            arguments = ", ".join(sorted(known)) or "none"
            raise UsageError(f"action={template!r} names {{{field}}}, but the arguments are: {arguments}")
        # An argument that cannot be given by position is looked for beyond any.
        position = names.index(root) if root in names else sys.maxsize
        parts.append((literal, _Field(root, position, field[len(root) :])))
    return tuple(parts)
