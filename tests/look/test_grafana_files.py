# ruff: noqa: E501  # messages and field lists read best on one line
"""Files for Grafana: fields that it and its plugins know, a layout without overlaps, and what is read at its start."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from grafana_dashboards import HOME, all_panels, dashboards, interpolate
from grafana_data import RESUMED, resumed
from learning_data import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from grafana_dashboards import Dashboard, Panel

    from otel_episodes_clickhouse import Store

each_dashboard = pytest.mark.parametrize("dashboard", dashboards(), ids=lambda dashboard: dashboard.name)
each_panel = pytest.mark.parametrize("panel", all_panels(), ids=str)

# jsonData as the plugin's own description of its settings has it: pkg/schema/dsconfig.json of grafana/clickhouse-datasource
# in 2026, beside the CHConfig and CHTracesConfig of src/types/config.ts and the settings of pkg/plugin/settings.go.
CLICKHOUSE_FIELDS = {
    "host", "port", "protocol", "secure", "path", "username", "tlsSkipVerify", "tlsAuth", "tlsAuthWithCACert", "configMode",
    "signalType", "defaultDatabase", "defaultTable", "dialTimeout", "queryTimeout", "connMaxLifetime", "maxIdleConns",
    "maxOpenConns", "validateSql", "enableMapKeysDiscovery", "logs", "traces", "httpHeaders", "forwardGrafanaHeaders",
    "customSettings", "aliasTables", "enableRowLimit", "enableSecureSocksProxy", "hideTableNameInAdhocFilters", "version",
}  # fmt: skip
TRACES_FIELDS = {
    "defaultDatabase", "defaultTable", "otelEnabled", "otelVersion", "traceIdColumn", "spanIdColumn", "operationNameColumn",
    "parentSpanIdColumn", "serviceNameColumn", "durationColumn", "durationUnit", "startTimeColumn", "tagsColumn",
    "serviceTagsColumn", "kindColumn", "statusCodeColumn", "statusMessageColumn", "stateColumn",
    "instrumentationLibraryNameColumn", "instrumentationLibraryVersionColumn", "flattenNested", "traceEventsColumnPrefix",
    "traceLinksColumnPrefix", "showTraceLinks", "traceTimestampTableSuffix",
}  # fmt: skip
# What the plugin's OTel mode reads (src/otel.ts, the columns of traces) and the table it looks up a trace's days in.
OTEL_COLUMNS = {
    "Timestamp", "TraceId", "SpanId", "ParentSpanId", "ServiceName", "SpanName", "Duration", "SpanAttributes",
    "ResourceAttributes", "StatusCode", "SpanKind", "StatusMessage", "TraceState",
}  # fmt: skip
# How the plugin numbers the formats (mapQueryTypeToGrafanaFormat of src/data/utils.ts), which its backend reads.
FORMATS = {"timeseries": 0, "table": 1, "logs": 2, "traces": 3}
SET = {
    "CLICKHOUSE_HOST": "clickhouse", "CLICKHOUSE_PORT": "9000", "CLICKHOUSE_DATABASE": "default", "CLICKHOUSE_USER": "grafana",
    "CLICKHOUSE_PASSWORD": "made up", "JAEGER_URL": "http://jaeger:16686",
}  # fmt: skip


def provisioned(kind: str) -> dict[str, Any]:
    """Return a provisioning file as Grafana reads it: variables of the environment put in, ``$$`` a dollar sign."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else SET[match[1]]

    text = (HOME / "provisioning" / kind / "otel-episodes.yaml").read_text()
    return filled(yaml.safe_load(text), lambda leaf: re.sub(r"\$\$|\$\{(\w+)\}", value, leaf))


def filled(node: Any, put: Any) -> Any:
    if isinstance(node, dict):
        return {key: filled(value, put) for key, value in node.items()}
    if isinstance(node, list):
        return [filled(value, put) for value in node]
    return put(node) if isinstance(node, str) else node


@pytest.fixture
def sources() -> dict[str, dict[str, Any]]:
    return {source["type"]: source for source in provisioned("datasources")["datasources"]}


# --- dashboards ------------------------------------------------------------------------------------------------------


def test_the_ids_of_the_pages_stay() -> None:
    assert {dashboard.name: dashboard.json["uid"] for dashboard in dashboards()} == {
        name: f"otel-episodes-{name}" for name in ("overview", "episode", "patterns", "health")
    }


@each_dashboard
def test_a_dashboard_has_no_field_that_grafanas_schema_does_not_know(dashboard: Dashboard) -> None:
    assert lost(dashboard.json, through_the_schema(dashboard.json)) == []


@each_panel
def test_an_override_sets_what_the_panel_can_draw(panel: Panel) -> None:
    """The schema does not look into overrides, so each is made a default here, where it does."""
    for _, what, value in panel.properties:
        custom = what.removeprefix("custom.")
        defaults = {"custom": {custom: value}} if custom != what else {what: value}
        page = {"panels": [{"type": panel.json["type"], "fieldConfig": {"defaults": defaults, "overrides": []}}]}
        assert lost(page, through_the_schema(page)) == []


def through_the_schema(page: Mapping[str, Any]) -> Any:
    """Read and write a dashboard with the types Grafana Labs generates from its schema (schema version 41 and later)."""
    pytest.importorskip("grafana_foundation_sdk", reason="grafana-foundation-sdk needs Python 3.11")
    from grafana_foundation_sdk.cog import encoder, plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    plugins.register_default_plugins()
    return json.loads(encoder.JSONEncoder(sort_keys=False).encode(Dashboard.from_json(dict(page))))


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    """Return the paths of what is not there any more, or is something else."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [gone for key, value in before.items() for gone in lost(value, after.get(key), f"{path}/{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [
            gone
            for index, pair in enumerate(zip(before, after, strict=True))
            for gone in lost(*pair, f"{path}/{index}")
        ]
    return [] if before == after else [path]


def test_a_field_that_does_not_exist_is_noticed() -> None:
    page = {
        "title": "t",
        "titel": "t",
        "panels": [{"type": "table", "fieldConfig": {"defaults": {"custom": {"widht": 1}}, "overrides": []}}],
    }
    assert lost(page, through_the_schema(page)) == ["/titel", "/panels/0/fieldConfig/defaults/custom/widht"]


@each_panel
def test_a_query_has_the_fields_that_the_plugin_reads(panel: Panel) -> None:
    target = panel.target
    assert set(target) == {"refId", "datasource", "editorType", "queryType", "format", "rawSql"}
    assert (
        target["datasource"]
        == panel.json["datasource"]
        == {"type": "grafana-clickhouse-datasource", "uid": "${clickhouse}"}
    )
    assert (target["editorType"], target["format"]) == ("sql", FORMATS[target["queryType"]])
    drawn_from = {"timeseries": "timeseries", "traces": "traces"}.get(panel.json["type"], "table")
    assert target["queryType"] == drawn_from


@each_dashboard
def test_variables_are_of_one_value_and_asked_as_the_plugin_wants(dashboard: Dashboard) -> None:
    for name, variable in dashboard.variables.items():
        # Several values at once would reach SQL as one text.
        assert not variable.get("multi")
        if variable["type"] == "query":
            # An object: the plugin's versions with variable support of their own read nothing from a plain string.
            assert variable["query"].keys() == {"refId", "queryType", "editorType", "rawSql"}
            assert (variable["query"]["refId"], variable["query"]["queryType"], variable["query"]["editorType"]) == (
                name,
                "sql",
                "sql",
            )
        elif variable["type"] == "datasource":
            assert variable["query"] in ("grafana-clickhouse-datasource", "jaeger")


@each_dashboard
def test_panels_have_a_place_of_their_own(dashboard: Dashboard) -> None:
    placed = list(everything_placed(dashboard))
    assert len({panel["id"] for panel in placed}) == len(placed)
    assert len({panel["title"] for panel in placed}) == len(placed)
    for panel in placed:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
    for one, other in combinations([panel["gridPos"] for panel in placed], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


def everything_placed(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    for panel in dashboard.json["panels"]:
        yield panel
        yield from panel.get("panels", ())


# --- provisioning ----------------------------------------------------------------------------------------------------


def test_the_clickhouse_data_source_is_in_otel_mode_over_our_tables(store: Store, sources: dict[str, Any]) -> None:
    source = sources["grafana-clickhouse-datasource"]
    settings, traces = source["jsonData"], source["jsonData"]["traces"]
    assert settings.keys() <= CLICKHOUSE_FIELDS
    assert traces.keys() <= TRACES_FIELDS
    assert source["secureJsonData"] == {"password": "made up"}
    # "latest" is also the plugin's own default; the versions before it are 1.29.0 and 1.30.0.
    assert (traces["otelEnabled"], traces["otelVersion"], traces["durationUnit"]) == (True, "latest", "nanoseconds")
    columns = {row["name"] for row in store.query(f"DESCRIBE TABLE {traces['defaultTable']}")}
    assert columns >= OTEL_COLUMNS
    # Parallel arrays, as the plugin reads them where flattenNested is off.
    assert traces["flattenNested"] is False
    assert columns >= {f"{traces['traceEventsColumnPrefix']}.{name}" for name in ("Timestamp", "Name", "Attributes")}
    assert columns >= {f"{traces['traceLinksColumnPrefix']}.{name}" for name in ("TraceId", "SpanId", "Attributes")}
    days = {row["name"] for row in store.query(f"DESCRIBE TABLE {traces['defaultTable']}_trace_id_ts")}
    assert days >= {"TraceId", "Start", "End"}


def test_no_secret_and_no_address_is_in_a_file() -> None:
    text = (HOME / "provisioning" / "datasources" / "otel-episodes.yaml").read_text()
    assert set(re.findall(r"(?<!\$)\$\{(\w+)\}", text)) == set(SET)
    assert yaml.safe_load(text)["datasources"][0]["secureJsonData"] == {"password": "${CLICKHOUSE_PASSWORD}"}


def test_dashboards_choose_the_provisioned_data_sources_first(sources: dict[str, Any]) -> None:
    provisioned_as = {kind: (source["name"], source["uid"]) for kind, source in sources.items()}
    for dashboard in dashboards():
        chosen = [variable for variable in dashboard.variables.values() if variable["type"] == "datasource"]
        current = {source["query"]: (source["current"]["text"], source["current"]["value"]) for source in chosen}
        assert current == provisioned_as


def test_a_trace_leads_from_one_data_source_to_the_other(store: Store, sources: dict[str, Any]) -> None:
    uids = {source["uid"]: kind for kind, source in sources.items()}
    (to_jaeger,) = sources["grafana-clickhouse-datasource"]["correlations"]
    (to_clickhouse,) = sources["jaeger"]["correlations"]
    for correlation, kind in ((to_jaeger, "jaeger"), (to_clickhouse, "grafana-clickhouse-datasource")):
        assert uids[correlation["targetUID"]] == kind
        assert correlation["type"] == correlation["config"]["type"] == "query"
        # The field both data sources call so in a trace.
        assert correlation["config"]["field"] == "traceID"
    assert interpolate(to_jaeger["config"]["target"]["query"], {"traceID": "abc"}) == "abc"
    target = to_clickhouse["config"]["target"]
    assert (target["editorType"], target["queryType"], target["format"]) == ("sql", "table", FORMATS["table"])
    steps = store.sql(interpolate(target["rawSql"], {"traceID": f"{RESUMED}-1"}))
    assert [row[steps.columns.index("Tool")] for row in steps.rows] == ["read", "edit", "edit"]
    assert store.sql(interpolate(target["rawSql"], {"traceID": "\\') OR 1=1 --"})).rows == []


def test_the_dashboards_are_provisioned_from_a_directory() -> None:
    (provider,) = provisioned("dashboards")["providers"]
    assert (provider["type"], provider["options"]["path"]) == ("file", "/etc/grafana/dashboards")


@pytest.fixture(scope="module")
def store(storage_store: Store) -> Store:
    storage_store.insert_rows([row for episode in resumed() for row in rows_of(episode)])
    return storage_store
