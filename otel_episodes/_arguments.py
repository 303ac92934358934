"""The action of a call: its arguments in words, as they are when the call is made."""

from __future__ import annotations

import inspect
import sys
from string import Formatter
from typing import TYPE_CHECKING, Any, NamedTuple

from otel_episodes import _rendering
from otel_episodes._settings import ACTION_LIMIT
from otel_episodes.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_episodes._redaction import Redactor

_FORMATTER = Formatter()


class _Field(NamedTuple):
    """A field of a template: which argument, where it stands in a call, and the path below it."""

    name: str
    position: int
    path: str


class Arguments:
    """Names the arguments of one callable and puts them into an action.

    Binding is by position and name only: `inspect.Signature.bind` would check the call as well, at ten times the
    cost, and the call itself does that.
    """

    __slots__ = ("_defaults", "_first_is_self", "_names", "_parts", "_takes_receiver")

    def __init__(self, function: Callable[..., Any], template: str | None) -> None:
        """Read the signature and the template.

        Raises:
            UsageError: the template names an argument that the function does not have.
        """
        parameters = _parameters(function)
        names = [p.name for p in parameters or () if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        # What a method is called on is told by its binding; by name only where another decorator hands it on as an
        # ordinary argument. A class, a bound method or a callable object has a signature without it.
        self._takes_receiver = inspect.isfunction(function) or isinstance(function, classmethod)
        self._first_is_self = names[:1] in (["self"], ["cls"])
        self._names = tuple(names)
        self._defaults = {p.name: p.default for p in parameters or () if p.default is not p.empty}
        self._parts = None if template is None else _parse(template, parameters, self._names)

    def named(self, instance: object, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments by name, without what a method is called on; those beyond the names under ``*``."""
        names = self._names
        if self._takes_receiver and instance is not None:
            names = names[1:]
        elif self._first_is_self and instance is None:
            names, args = names[1:], args[1:]
        values = dict(zip(names, args, strict=False))
        if len(args) > len(names):
            values["*"] = args[len(names) :]
        if kwargs:
            values.update(kwargs)
        return values

    def action(
        self, instance: object, args: tuple[Any, ...], kwargs: Mapping[str, Any], redactor: Redactor | None
    ) -> str | None:
        """Render the action of at most 256 characters: the template filled in, or the arguments as JSON."""
        if self._parts is None:
            values = self.named(instance, args, kwargs)
            return _rendering.json(values, ACTION_LIMIT, redactor) if values else None
        if self._takes_receiver and instance is not None:
            args = (instance, *args)
        rendered = []
        for literal, field in self._parts:
            rendered.append(literal)
            if field is not None:
                name, position, path = field
                if position < len(args):
                    value = args[position]
                elif name in kwargs:
                    value = kwargs[name]
                else:
                    value = self._defaults.get(name, _rendering.MARK)
                if redactor is not None and redactor.secret_name(name):
                    rendered.append(redactor.masked(value))
                elif type(value) is str and not path and len(value) < ACTION_LIMIT:
                    rendered.append(value)
                else:
                    rendered.append(_part(value, path, redactor))
        return _rendering.text("".join(rendered), ACTION_LIMIT, redactor)


def _part(value: Any, path: str, redactor: Redactor | None) -> str:  # any argument
    if path:
        value = _FORMATTER.get_field("0" + path, (value,), {})[0]
    return _rendering.text(value, ACTION_LIMIT, redactor)


def _parameters(function: Any) -> list[inspect.Parameter] | None:  # a classmethod is no callable
    if isinstance(function, (classmethod, staticmethod)):
        function = function.__func__
    try:
        return list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        return None  # some builtins have no signature


def _parse(
    template: str, parameters: list[inspect.Parameter] | None, names: tuple[str, ...]
) -> tuple[tuple[str, _Field | None], ...]:
    """Split ``"search {pattern} in {repo.name}"`` into literals and (argument, rest of the path)."""
    known = {p.name for p in parameters or ()}
    is_open = parameters is None or any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in parameters)
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
