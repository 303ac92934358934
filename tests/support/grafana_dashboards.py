"""The dashboards as Grafana would ask for them: variables and macros expanded, one statement per panel.

Grafana itself does not run in these tests. What it and its ClickHouse plugin do to a query before the server sees it is
done here after their sources: the variable formats of Grafana's scenes library (``formatRegistry``), the plugin's
``applyConditionalAll`` in the browser, and its macros in the backend (``pkg/macros``).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otel_episodes_clickhouse.store.store import Result, Store

HOME: Final = Path(__file__).parents[2] / "collector-config" / "grafana"
ALL: Final = "$__all"
_VARIABLE: Final = re.compile(r"\$\{(?P<braced>\w+)(?:\.(?P<path>[^:}]+))?(?::(?P<format>\w+))?\}|\$(?P<bare>\w+)")
_MACRO: Final = re.compile(r"\$__(?P<name>\w+)(?:\((?P<argument>[^()]*)\))?")
_CONDITIONAL: Final = "$__conditionalAll("
# What the variables are before anybody has chosen.
UNCHOSEN: Final = {
    "clickhouse": "otel-episodes-clickhouse", "jaeger": "otel-episodes-jaeger", "jaeger_ui": "http://localhost:16686",
    "tenant": ALL, "domain": ALL, "agent": ALL, "service": ALL, "type": ALL, "formula": "v2", "pattern": "",
    "episode": "", "shown": "", "trace": "",
}  # fmt: skip


@dataclass(frozen=True)
class Dashboard:
    """One dashboard file."""

    name: str
    json: dict[str, Any]

    @property
    def variables(self) -> dict[str, dict[str, Any]]:
        return {variable["name"]: variable for variable in self.json["templating"]["list"]}

    @property
    def panels(self) -> list[Panel]:
        """Return the panels that ask something, those inside of folded rows too."""
        placed = [inner for panel in self.json["panels"] for inner in (panel, *panel.get("panels", ()))]
        return [Panel(self.name, panel) for panel in placed if panel.get("targets")]


@dataclass(frozen=True)
class Panel:
    """One panel with its one query."""

    dashboard: str
    json: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.json['title']}"

    @property
    def target(self) -> dict[str, Any]:
        (target,) = self.json["targets"]
        return target

    @property
    def sql(self) -> str:
        return self.target["rawSql"]

    @property
    def properties(self) -> Iterator[tuple[str, str, Any]]:
        """Yield every overridden property: the field's name, what of it, and the value."""
        for override in self.json["fieldConfig"]["overrides"]:
            for item in override["properties"]:
                yield override["matcher"]["options"], item["id"], item["value"]

    @property
    def links(self) -> list[dict[str, Any]]:
        return [link for _, what, value in self.properties if what == "links" for link in value]


@dataclass(frozen=True)
class Asked:
    """What a person has chosen: time range in seconds of the epoch, width of a bucket, values of variables."""

    start: int
    end: int
    interval: int = 3600
    variables: Mapping[str, str] = field(default_factory=dict)


def dashboards() -> list[Dashboard]:
    """Return all that are shipped."""
    paths = sorted((HOME / "dashboards").glob("*.json"))
    return [Dashboard(path.stem, json.loads(path.read_text())) for path in paths]


def all_panels() -> list[Panel]:
    """Return every panel that asks something."""
    return [panel for dashboard in dashboards() for panel in dashboard.panels]


def all_queries() -> dict[str, str]:
    """Return what is sent for each panel and each variable, by ``dashboard: name``."""
    queries = {str(panel): panel.sql for panel in all_panels()}
    for dashboard in dashboards():
        asked = [each for each in dashboard.variables.values() if each["type"] == "query"]
        queries |= {f"{dashboard.name}: {each['name']}": each["query"]["rawSql"] for each in asked}
    return queries


def expand(sql: str, asked: Asked) -> str:
    """Return what the server would be sent. Raises ``KeyError`` for a variable or a macro that does not exist."""
    sql = interpolate(_without_conditions_on_all(sql, asked.variables), asked.variables)
    # A variable of Grafana's own, put in before the query leaves the browser, inside of quotes too: milliseconds.
    sql = sql.replace("${__from}", str(asked.start * 1000))
    return _MACRO.sub(lambda match: MACROS[match["name"]](asked, match["argument"]), sql)


def answer(store: Store, text: str, asked: Asked) -> Result:
    """Ask as the user that docs/how-to/grafana.md sets up: one who may only read, and set limits with a query."""
    sql = expand(text, asked)
    return store.sql(f"{sql}{',' if 'SETTINGS' in sql else ' SETTINGS'} readonly = 2", read_only=False)


def rows(store: Store, name: str, asked: Asked, **variables: str) -> list[dict[str, Any]]:
    """Return what a panel or a variable (``dashboard: name``) is answered with these variables chosen beside those."""
    result = answer(store, all_queries()[name], replace(asked, variables={**UNCHOSEN, **asked.variables, **variables}))
    return [dict(zip(result.columns, row, strict=True)) for row in result.rows]


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Put in the variables; what starts with ``__`` is somebody else's."""

    def value(match: re.Match[str]) -> str:
        name = match["braced"] or match["bare"]
        if name.startswith("__"):
            return match[0]
        return FORMATS[match["format"] or "glob"](name, variables[name])

    return _VARIABLE.sub(value, text)


def _percent_encode(text: str) -> str:
    # JavaScript's encodeURIComponent plus the five characters it leaves alone.
    return quote(text, safe="-_.~")


# The formats the dashboards use; Grafana has more. A variable of a single value is one string everywhere.
FORMATS: Final[dict[str, Callable[[str, str], str]]] = {
    "glob": lambda _name, value: value,
    "percentencode": lambda _name, value: _percent_encode(value),
    "queryparam": lambda name, value: f"var-{name}={_percent_encode(value)}",
    # Not used: shown unsafe by a test.
    "singlequote": lambda _name, value: "'" + value.replace("'", "\\'") + "'",
    "sqlstring": lambda _name, value: "'" + value.replace("'", "''").replace('"', '\\"') + "'",
}


def _without_conditions_on_all(sql: str, variables: Mapping[str, str]) -> str:
    """Replace ``$__conditionalAll(condition, $variable)``: nothing chosen or All makes it ``1=1``."""
    while (at := sql.rfind(_CONDITIONAL)) >= 0:
        end = _closing(sql, at + len(_CONDITIONAL))
        condition, _, variable = sql[at + len(_CONDITIONAL) : end].rpartition(",")
        chosen = variables[variable.strip().removeprefix("$")]
        sql = sql[:at] + ("1=1" if chosen in ("", ALL) else condition) + sql[end + 1 :]
    return sql


def _closing(sql: str, at: int) -> int:
    depth = 1
    while depth:
        depth += {"(": 1, ")": -1}.get(sql[at], 0)
        at += 1
    return at - 1


MACROS: Final[dict[str, Callable[[Asked, str], str]]] = {
    "timeFilter": lambda asked, column: (
        f"{column} >= toDateTime({asked.start}) AND {column} <= toDateTime({asked.end})"
    ),
    "timeInterval": lambda asked, column: f"toStartOfInterval(toDateTime({column}), INTERVAL {asked.interval} second)",
    "fromTime": lambda asked, _: f"toDateTime({asked.start})",
    "toTime": lambda asked, _: f"toDateTime({asked.end})",
    "interval_s": lambda asked, _: str(asked.interval),
}
