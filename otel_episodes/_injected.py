"""What a framework puts into a call besides what the tool was asked.

A run's context, a request, a session: they are known by the names and packages of their classes, so that no framework
is imported for it, and by the annotation or default that asks the framework for them.
"""

from __future__ import annotations

import re
from typing import Any, Final

from otel_episodes import _looking

# Class by class, the packages it is known from.
_CLASSES: Final[dict[str, frozenset[str]]] = {
    name: frozenset(packages.split())
    for name, packages in {
        "RunContext": "pydantic_ai livekit agno",
        "RunContextWrapper": "agents",
        "ToolContext": "agents google strands semantic_kernel",
        "Context": "mcp fastmcp llama_index workflows click discord",
        "RequestContext": "mcp",
        "ServerSession": "mcp",
        "Runtime": "langgraph",
        "ToolRuntime": "langgraph langchain",
        "BaseStore": "langgraph",
        "StateSnapshot": "langgraph",
        "BaseRunManager": "langchain_core",
        "BaseCallbackManager": "langchain_core",
        "BaseCallbackHandler": "langchain_core",
        "ReadonlyContext": "google",
        "InvocationContext": "google",
        "CancellationToken": "autogen_core",
        "MessageContext": "autogen_core",
        "HTTPConnection": "starlette",
        "Response": "starlette",
        "BackgroundTasks": "starlette fastapi",
        "SecurityScopes": "fastapi",
        "HttpRequest": "django",
        "Request": "flask werkzeug sanic aiohttp",
        "BaseRequest": "aiohttp",
        "ASGIConnection": "litestar",
        "Task": "celery",
        "LambdaContext": "awslambdaric",
        "Span": "opentelemetry",
    }.items()
}
# Arguments by these names are a context where they are an object of a class of somebody's.
_CONTEXT_NAMES: Final = frozenset(
    ("ctx", "context", "run_context", "tool_context", "context_wrapper", "wrapper", "runtime", "_ctx", "_context")
)
_CONFIG_KEYS: Final = frozenset(("callbacks", "configurable", "recursion_limit", "run_id", "run_name"))
# In an annotation, written out or as text; and defaults that a framework resolves.
_ANNOTATION: Final = re.compile(
    r"\b(?:RunnableConfig|Injected(?:State|Store|ToolArg|ToolCallId|Context)|RunContext(?:Wrapper)?|ToolContext|ToolRuntime"
    r"|StreamWriter|CallbackManagerForToolRun|BackgroundTasks|HTTPConnection|Runtime\[)"
)
_DEFAULTS: Final = frozenset(("Depends", "Security", "Dependency", "_DependencyFactory", "_CurrentContext"))
_BUILTIN: Final = _looking.ids_of(str, int, float, bool, bytes, list, tuple, dict, set, frozenset, type(None))


def asks_for_it(annotation: object, default: object) -> bool:
    """Return True if a parameter is filled by a framework, to judge by its annotation and its default."""
    if any(_looking.name_of(base) in _DEFAULTS for base in _looking.mro(type(default))):
        return True
    try:
        return _ANNOTATION.search(annotation if type(annotation) is str else _annotation_text(annotation)) is not None
    except Exception:  # noqa: BLE001  # an annotation is any object; one that cannot be read says nothing
        return False


def _annotation_text(annotation: object) -> str:
    if isinstance(annotation, type):
        return _looking.name_of(annotation)
    names = [_looking.name_of(type(item)) for item in getattr(annotation, "__metadata__", ())]
    return " ".join((*names, repr(annotation)))


def is_injected(name: str, value: object) -> bool:
    """Return True if a value is what a framework hands to a tool."""
    kind = type(value)
    if id(kind) in _BUILTIN:
        return kind is dict and name == "config" and not _CONFIG_KEYS.isdisjoint(value)  # type: ignore[arg-type]
    for base in _looking.mro(kind):
        packages = _CLASSES.get(_looking.name_of(base))
        if packages is not None and _looking.package_of(base) in packages:
            return True
    return name in _CONTEXT_NAMES and _looking.package_of(kind) not in ("builtins", "numpy", "pandas", "datetime")


def call_id(value: object) -> str:
    """Return the id of the tool call that a context tells of; empty if it tells none."""
    found: Any = _looking.stored(value, "tool_call_id")
    return found if type(found) is str else ""
