"""How pages are written: templates in which whatever was recorded is text."""

from __future__ import annotations

import base64
import hashlib
import time
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import jinja2
import orjson

from otel_episodes_clickhouse import wording
from otel_episodes_clickhouse.errors import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

_STATIC: Final = resources.files("otel_episodes_clickhouse.serve.pages") / "static"
# Around what makes a file stand on its own. What was recorded cannot look like it: there it is escaped.
_SEAL: Final = ("<!-- sealed -->", "<!-- to here -->")
_MOST_JSON: Final = 100_000
# How a step went; of one without an answer nobody knows.
_SUCCESS: Final = {True: "ok", False: "failed", None: "unknown"}


def page(template: str, /, **values: Any) -> str:
    """Return a template of ``templates/`` filled in, with links to other pages."""
    return _environment().get_template(template).render(here=None, **values)


def file(template: str, /, *, here: Mapping[str, str], **values: Any) -> str:
    """Return a template filled in to be a file on its own: ``here`` names the places of the episodes that it has."""
    style = static("page.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    sealed = {"here": here, "style": style, "style_hash": f"sha256-{digest}", "seal": _SEAL}
    return _environment().get_template(template).render(sealed, **values)


def unsealed(text: str) -> str:
    """Return such a file as a page of ours, which gets its style and its policy from us."""
    before, _, rest = text.partition(_SEAL[0])
    ours = '<link rel="icon" href="/static/icon.svg"><link rel="stylesheet" href="/static/page.css">'
    return f"{before}{ours}{rest.partition(_SEAL[1])[2]}"


@cache
def static(name: str) -> str:
    """Return a file of ``static/``."""
    return (_STATIC / name).read_text(encoding="utf-8")


def address(path: str, **query: Any) -> str:
    """Return an address of ours; what is empty is left out."""
    given = {name: value for name, value in query.items() if value not in ("", None)}
    return f"{path}?{urlencode(given)}" if given else path


def episode_address(identifier: str) -> str:
    """Return the address of an episode."""
    return f"/episodes/{quote(identifier, safe='')}"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("otel_episodes_clickhouse.serve.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        duration=lambda nanoseconds: wording.duration(round(nanoseconds)),
        count=lambda number: wording.count(round(number)), size=wording.size, line=wording.one_line,
        short=wording.short_id, when=_when, iso=wording.iso_time, percent=_percent, number=_number, pretty=_pretty,
        success=_SUCCESS.__getitem__, money=_money, clip=_clip, ago=_ago,
    )  # fmt: skip
    environment.globals.update(episode_address=episode_address, address=address, plural=wording.plural)
    return environment


def _shown(value: Any) -> Any:
    """Return a text without what turns text around or cannot be seen; markup is ours and has none."""
    return plain(value) if type(value) is str else value


def _when(nanoseconds: int) -> str:
    """Return a time in the zone of this machine: the hour of today, else the day too."""
    moment = wording.local_time(nanoseconds)
    today = wording.local_time(time.time_ns())
    if moment.date() == today.date():
        return f"{moment:%H:%M:%S}"
    return f"{moment:%b} {moment.day}, {moment:%H:%M}" if moment.year == today.year else f"{moment:%Y-%m-%d %H:%M}"


def _ago(nanoseconds: int) -> str:
    return f"{wording.duration(max(0, time.time_ns() - nanoseconds))} ago"


def _percent(share: float) -> str:
    return f"{share:.0%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _money(dollars: float | None) -> str:
    if dollars is None:
        return "-"
    return f"${dollars:,.2f}" if dollars >= 1 or not dollars else f"${dollars:.4f}"


def _clip(text: str, most: int) -> str:
    """Return the beginning of a text, on one line."""
    line = wording.one_line(text[: most * 4])
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _pretty(text: str) -> str:
    """Return JSON indented; any other text as it is."""
    if not text.startswith(("{", "[")) or len(text) > _MOST_JSON:
        return text
    try:
        return orjson.dumps(orjson.loads(text), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        return text


def json_of(value: Mapping[str, Any]) -> bytes:
    """Return what a page shows as JSON."""
    return orjson.dumps(_jsonable(value), default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
