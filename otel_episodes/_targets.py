"""What a decorator may stand above, and what has to stand above it instead."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from otel_episodes import _looking
from otel_episodes.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

# Their decorators turn a function into an object that is called in ways of its own: `task.delay()`, `tool.invoke()`.
_PACKAGES: Final = frozenset(
    (
        "_pytest", "agents", "autogen_core", "celery", "click", "crewai", "dagster", "dask", "dramatiq", "fastmcp",
        "google", "haystack", "huey", "langchain", "langchain_core", "langgraph", "llama_index", "mcp", "modal",
        "pydantic_ai", "prefect", "ray", "rq", "semantic_kernel", "strands", "typer",
    )
)  # fmt: skip
# The same, of frameworks that are not in the list: methods that would be called in place of the object.
_WAYS: Final = ("apply_async", "send_with_options", "ainvoke", "on_invoke_tool", "remote")
# What a decorator leaves on the function that it has registered elsewhere.
_MARKS: Final = ("delay", "__fastmcp__", "apply_async", "remote")


def records_inside(function: Any, record: Callable[[Any], Any]) -> bool:
    """Record what a Celery task runs, and return True; False for anything else.

    A worker calls the function inside of a task, wherever the task was sent from. A task that is not made yet is left
    so: what runs is replaced when it is.
    """
    bases = {_looking.name_of(base) for base in _looking.mro(type(function)) if _looking.package_of(base) == "celery"}
    if bases.isdisjoint(("PromiseProxy", "Task")):
        return False

    def replace() -> None:
        task = function._get_current_object() if "PromiseProxy" in bases else function  # noqa: SLF001  # Celery's way
        task.run = record(task.run)

    function.__then__(replace) if "PromiseProxy" in bases else replace()
    return True


def refuse_misplaced(function: Any, name: str) -> None:
    """Raise `UsageError` where a decorator called ``name`` stands above what it cannot record.

    That is what another decorator made of a function: a property, or an object that its framework does not call as a
    function is called. Recording it would look right and record nothing.
    """
    kind = type(function)
    what = _looking.name_of(kind)
    if issubclass(kind, (classmethod, staticmethod, type)):
        return
    is_callable = _looking.class_value(kind, "__call__") is not _looking.MISSING
    package = _looking.package_of(kind)
    if not is_callable and _looking.class_value(kind, "__get__") is _looking.MISSING and package == "builtins":
        raise UsageError(f"@{name} decorates a callable, not {what}")
    ways = [way for way in _WAYS if _looking.class_value(kind, way) is not _looking.MISSING]
    marks = kind is FunctionType and not _looking.own_dict(function).keys().isdisjoint(_MARKS)
    if not is_callable or package in _PACKAGES or ways or marks:
        maker = f"{package}'s {what}" if package not in ("builtins", "") and what != "function" else what
        raise UsageError(
            f"@{name} decorates a callable, and stands above what another decorator made of one ({maker}), which is "
            f"called in other ways: put @{name} below that decorator, directly above the function"
        )
