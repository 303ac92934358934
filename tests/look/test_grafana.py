# ruff: noqa: E501  # statements read best on one line; some are what a careless dashboard would send
"""Dashboards: each panel's query, expanded as Grafana would, runs on the engine and returns what the panel draws."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import grafana_data
import pytest
from grafana_dashboards import FORMATS, UNCHOSEN, Asked, all_panels, answer, dashboards, expand, interpolate
from grafana_data import ABANDONED, HOSTILE, HOSTILE_WITH_BACKSLASH, NOW, RESUMED, RUNNING

if TYPE_CHECKING:
    from grafana_dashboards import Panel

    from otel_episodes_clickhouse.store.store import Result, Store

SECOND = 10**9
CHOSEN = {**UNCHOSEN, "pattern": "c6dc5988795f3434", "shown": "week-3", "trace": "week-3-0"}
# Until tomorrow: the tests may run long after this line.
ASKED = Asked(NOW // SECOND - 90 * 86_400, NOW // SECOND + 86_400, 86_400, CHOSEN)
# A row of the trace panel: TraceSpanRow of the npm package @grafana/data 13.2, here with the kinds of the plugin's
# frames. startTime, duration and the timestamps of logs are milliseconds: Grafana's TraceView multiplies by 1,000.
SPAN = {
    "traceID": "string", "spanID": "string", "parentSpanID": "string", "operationName": "string", "serviceName": "string",
    "serviceTags": "json", "startTime": "number", "duration": "number", "logs": "json", "references": "json", "tags": "json",
    "kind": "string", "statusCode": "number", "statusMessage": "string", "instrumentationLibraryName": "string",
    "instrumentationLibraryVersion": "string", "traceState": "string",
}  # fmt: skip
PANELS = {str(panel): panel for panel in all_panels()}
# Nothing here calls a model: tests/look/test_grafana_foreign.py has what does.
OF_MODELS = "overview: Models"
each_panel = pytest.mark.parametrize("panel", [panel for title, panel in PANELS.items() if title != OF_MODELS], ids=str)


@pytest.fixture(scope="module")
def store(storage_store: Store) -> Store:
    grafana_data.fill(storage_store)
    return storage_store


@pytest.fixture(scope="module")
def answers(store: Store) -> dict[str, Result]:
    """Return what each panel is answered with nothing but one episode and one pattern chosen."""
    return {title: ask(store, title) for title in PANELS}


def ask(store: Store, panel: str, **variables: str) -> Result:
    """Ask with these variables chosen."""
    return answer(store, PANELS[panel].sql, replace(ASKED, variables={**CHOSEN, **variables}))


def rows(store: Store, panel: str, **variables: str) -> list[dict[str, Any]]:
    result = ask(store, panel, **variables)
    return [dict(zip(result.columns, row, strict=True)) for row in result.rows]


def kinds(result: Result) -> dict[str, str]:
    """Return what a column is to Grafana: time, number, boolean, string or json, as the plugin's converters say."""
    found = {}
    for column, kind in zip(result.columns, result.types, strict=True):
        inner = re.sub(r"^(?:(?:Nullable|LowCardinality)\()+|\)+$", "", kind)
        families = {
            "Date": "time",
            "Int": "number",
            "UInt": "number",
            "Float": "number",
            "String": "string",
            "Bool": "boolean",
        }
        found[column] = next((name for start, name in families.items() if inner.startswith(start)), "json")
    return found


@each_panel
def test_a_panel_gets_rows_of_the_shape_it_draws(answers: dict[str, Result], panel: Panel) -> None:
    result = answers[str(panel)]
    found = kinds(result)
    assert result.rows
    assert len(set(result.columns)) == len(result.columns)
    match panel.json["type"]:
        case "timeseries":
            series = [dict(zip(result.columns, row, strict=True)) for row in result.rows]
            labels = [column for column, kind in found.items() if kind == "string"]
            keys = [(row["time"], *(row[label] for label in labels)) for row in series]
            assert found.pop("time") == "time"
            assert set(found.values()) - {"string"} == {"number"}
            assert keys == sorted(set(keys))
        case "stat":
            assert len(result.rows) == 1
            assert set(found.values()) <= {"number", "time"}
        case "barchart":
            assert found.pop(panel.json["options"]["xField"]) == "string"
            assert set(found.values()) == {"number"}
        case "traces":
            assert found == SPAN
        case kind:
            assert kind == "table"
            # The plugin shows arrays and maps as JSON, which nobody reads.
            assert "json" not in found.values()


@each_panel
def test_what_overrides_and_links_name_is_in_the_result(answers: dict[str, Result], panel: Panel) -> None:
    named = {name for name, _, _ in panel.properties}
    linked = {name for link in panel.links for name in re.findall(r"\$\{__data\.fields\.(\w+)", link["url"])}
    assert named | linked <= set(answers[str(panel)].columns)


@pytest.mark.parametrize("value", [HOSTILE, HOSTILE_WITH_BACKSLASH, "')) $__fromTime ${shown} %27"])
@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda dashboard: dashboard.name)
def test_no_value_of_a_variable_is_read_as_sql(store: Store, dashboard: Any, value: str) -> None:
    texts = [panel.sql for panel in dashboard.panels]
    texts += [variable["query"]["rawSql"] for variable in dashboard.variables.values() if variable["type"] == "query"]
    hostile = replace(ASKED, variables={**dict.fromkeys(CHOSEN, value), "clickhouse": "c", "jaeger": "j"})
    for text in texts:
        answer(store, text, hostile)


@pytest.mark.parametrize("domain", [HOSTILE, HOSTILE_WITH_BACKSLASH])
def test_a_domain_that_looks_like_sql_selects_its_own_episodes_and_no_others(store: Store, domain: str) -> None:
    assert rows(store, "overview: Episodes", domain=domain)[0]["Episodes"] == 1
    assert [row["Domain"] for row in rows(store, "overview: Recent episodes", domain=domain)] == [domain]
    assert [row["Steps"] for row in rows(store, "overview: Slowest tools", domain=domain)] == [1]


@pytest.mark.parametrize("quoting", ["singlequote", "sqlstring"])
def test_grafanas_own_quoting_would_not_have_been_enough(store: Store, quoting: str) -> None:
    quoted = FORMATS[quoting]("domain", HOSTILE_WITH_BACKSLASH)
    (counted,) = store.sql(f"SELECT count() FROM episodes WHERE Domain = {quoted}").rows
    assert counted[0] > 1


def test_variables_reach_sql_only_as_decoded_text() -> None:
    texts = [panel.sql for panel in PANELS.values()]
    for dashboard in dashboards():
        texts += [
            variable["query"]["rawSql"] for variable in dashboard.variables.values() if variable["type"] == "query"
        ]
    for text in texts:
        rest = re.sub(r"decodeURLComponent\('\$\{\w+:percentencode\}'\)", "", text)
        rest = re.sub(r", \$\w+\)", ")", rest)  # the second argument of $__conditionalAll
        rest = rest.replace("${__from}", "")  # Grafana's own, always a number
        assert not re.findall(r"\$(?!__)", rest)


def test_the_variables_of_a_dashboard_offer_what_there_is(store: Store) -> None:
    offered = {}
    for dashboard in dashboards():
        for name, variable in dashboard.variables.items():
            if variable["type"] == "query":
                offered[f"{dashboard.name}.{name}"] = [
                    value for (value,) in answer(store, variable["query"]["rawSql"], ASKED).rows
                ]
    assert offered == {
        **{f"{page}.tenant": [] for page in ("overview", "episode", "patterns", "health")},
        "overview.domain": ["parser", "release", "web", HOSTILE, HOSTILE_WITH_BACKSLASH],
        "overview.agent": ["coder"],
        "overview.service": ["otel-episodes", "tests"],
        "overview.formula": ["v2"],
        "episode.shown": [RUNNING],
        "episode.trace": ["week-3-0"],
        "patterns.domain": ["parser", "web"],
    }


@pytest.mark.parametrize(
    ("said", "found"), [(RESUMED, RESUMED), ("resu", RESUMED), ("resumed-1", RESUMED), ("", RUNNING), ("no such", None)]
)
def test_an_episode_is_found_by_its_id_the_start_of_it_or_a_trace(store: Store, said: str, found: str | None) -> None:
    (episode,) = [dashboard for dashboard in dashboards() if dashboard.name == "episode"]
    asked = replace(ASKED, variables={**CHOSEN, "episode": said})
    ids = answer(store, episode.variables["shown"]["query"]["rawSql"], asked).rows
    assert ids == ([(found,)] if found else [])


def test_a_resumed_episode_offers_its_traces_and_shows_the_steps_of_all_once(store: Store) -> None:
    (episode,) = [dashboard for dashboard in dashboards() if dashboard.name == "episode"]
    asked = replace(ASKED, variables={**CHOSEN, "shown": RESUMED})
    assert answer(store, episode.variables["trace"]["query"]["rawSql"], asked).rows == [
        ("resumed-0",),
        ("resumed-1",),
    ]
    steps = rows(store, "episode: Steps", shown=RESUMED)
    assert [(row["Tool"], row["Success"], row["TraceId"]) for row in steps] == [
        ("read", True, "resumed-0"), ("edit", False, "resumed-0"), ("edit", True, "resumed-1"),
    ]  # fmt: skip
    # The first of them reached otel_traces twice.
    assert [row["spanID"] for row in rows(store, "episode: Trace", trace="resumed-0")].count("s000000") == 1


def test_a_span_is_what_the_trace_panel_expects(store: Store) -> None:
    (found,) = store.query("SELECT EpisodeId, TraceId FROM episodes WHERE has(Tools, 'delegate')")
    spans = {row["operationName"]: row for row in rows(store, "episode: Trace", trace=found["TraceId"])}
    (stored,) = store.query(
        f"SELECT *, toUnixTimestamp64Nano(Timestamp) AS Ns FROM otel_traces WHERE SpanName = 'execute_tool delegate' AND TraceId = '{found['TraceId']}'"
    )
    span = spans["execute_tool delegate"]
    assert span["parentSpanID"] == spans["invoke_agent coder"]["spanID"]
    assert span["startTime"] == pytest.approx(stored["Ns"] / 1e6, abs=0.001)
    assert span["duration"] == stored["Duration"] / 1e6
    assert (span["kind"], span["statusCode"], span["statusMessage"]) == ("internal", 0, "")
    assert {"key": "gen_ai.tool.name", "value": "delegate"} in span["tags"]
    assert {"key": "service.name", "value": "otel-episodes"} in span["serviceTags"]
    (child,) = store.query(f"SELECT TraceId FROM episodes WHERE ParentId = '{found['EpisodeId']}'")
    assert {"key": "episode.link.kind", "value": "delegates"} in [tag for link in linked(span) for tag in link["tags"]]
    assert [link["traceID"] for link in linked(span)] == [child["TraceId"]]
    # What the panel gets travels as JSON.
    json.dumps([{name: value for name, value in span.items() if name != "startTime"}])


def linked(span: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        dict(link) if isinstance(link, dict) else dict(zip(("traceID", "spanID", "tags"), link, strict=True))
        for link in span["references"]
    ]


def test_the_items_of_a_burst_are_the_logs_of_its_span(store: Store) -> None:
    (found,) = store.query(
        "SELECT TraceId, SpanId, BatchCount, StartTime FROM internal_steps FINAL WHERE BatchCount > 0"
    )
    (span,) = [row for row in rows(store, "episode: Trace", trace=found["TraceId"]) if row["spanID"] == found["SpanId"]]
    logs = [
        log if isinstance(log, dict) else dict(zip(("timestamp", "name", "fields"), log, strict=True))
        for log in span["logs"]
    ]
    assert len(logs) == found["BatchCount"]
    assert all({"key", "value"} == set(field) for log in logs for field in log["fields"])
    assert logs[0]["timestamp"] >= found["StartTime"] / 1e6 - 0.001


def test_a_failed_step_is_an_error_in_the_trace_panel(store: Store) -> None:
    codes = {row["operationName"]: row["statusCode"] for row in rows(store, "episode: Trace")}
    # The second step of an odd week fails; the start marker, the first step and the root do not.
    assert codes == {"start": 0, "step": 2, "episode": 0}


def test_the_overview_counts_what_the_view_of_episodes_says(store: Store) -> None:
    counted = store.query("SELECT Outcome, count() AS n, sum(InputTokens) AS i FROM episodes GROUP BY Outcome")
    outcomes = {row["Outcome"]: row["n"] for row in counted}
    (shown,) = rows(store, "overview: Episodes")
    ended = sum(outcomes.values()) - outcomes["running"]
    assert shown["Episodes"] == sum(outcomes.values())
    assert shown["SuccessRate"] == outcomes["success"] / ended
    assert (shown["Running"], shown["Abandoned"]) == (outcomes["running"], outcomes["abandoned"]) == (1, 1)
    assert shown["InputTokens"] == sum(row["i"] for row in counted)
    by_time = rows(store, "overview: Episodes by outcome")
    assert {name: sum(row[name] for row in by_time) for name in outcomes} == outcomes
    scored = rows(store, "overview: Distribution of rewards")
    assert sum(row[name] for row in scored for name in outcomes) == ended


def test_a_panel_heeds_the_time_range(store: Store) -> None:
    lately = replace(ASKED, start=NOW // SECOND - 3600 * 12)
    (shown,) = answer(store, PANELS["overview: Episodes"].sql, lately).rows
    everything = rows(store, "overview: Episodes")[0]["Episodes"]
    assert 0 < shown[0] < everything - 24


def test_tools_count_each_step_once_however_often_it_was_sent(store: Store) -> None:
    read = {row["Tool"]: row["Steps"] for row in rows(store, "overview: Slowest tools")}
    counted = {
        row["Tool"]: row["n"]
        for row in store.query("SELECT Tool, count() AS n FROM internal_steps FINAL WHERE Tool != '' GROUP BY Tool")
    }
    assert read == counted
    (push,) = [row for row in rows(store, "overview: Most failing tools") if row["Tool"] == "push"]
    assert (push["Failed"], push["FailureRate"], push["LastError"], push["LastEpisodeId"]) == (
        12,
        1.0,
        "permission denied",
        "week-23",
    )


def test_patterns_lead_to_their_evidence_and_that_to_its_episodes(store: Store) -> None:
    (pitfall,) = [row for row in rows(store, "patterns: Pitfalls", type="tool_sequence") if row["Domain"] == "web"]
    assert (pitfall["Key"], pitfall["Support"], pitfall["SuccessRate"]) == ("guess → push", 12, 0.0)
    (good,) = [row for row in rows(store, "patterns: Good ones", type="tool_sequence") if row["Domain"] == "web"]
    assert (good["Key"], good["Support"], good["SuccessRate"]) == ("plan → test", 12, 1.0)
    assert pitfall["PatternId"] == CHOSEN["pattern"]
    evidence = rows(store, "patterns: Evidence for the chosen pattern")
    assert {row["EpisodeId"] for row in evidence} == {f"week-{number}" for number in range(1, 24, 2)}
    assert {(row["Outcome"], row["Task"]) for row in evidence} == {("failure", "ship it")}
    trend = rows(store, "patterns: The chosen pattern, week by week")
    assert sum(row["Episodes"] for row in trend) == 12
    assert {row["SuccessRate"] for row in trend} == {0.0}
    seen = {row["PatternId"] for row in rows(store, "episode: Patterns it shows")}
    assert pitfall["PatternId"] in seen


def test_the_health_page_says_which_episodes_have_no_end_and_which_jobs_ran(store: Store) -> None:
    assert {row["EpisodeId"]: row["Outcome"] for row in rows(store, "health: Without an end")} == {
        RUNNING: "running",
        ABANDONED: "abandoned",
    }
    jobs = {row["Job"]: row["State"] for row in rows(store, "health: Jobs")}
    assert {"facts", "rewards", "reflections", "observations", "patterns"} <= set(jobs)
    assert set(jobs.values()) == {"done"}
    (now,) = rows(store, "health: Now")
    assert (now["NotLearnedYet"], now["FailedJobs"]) == (0, 0)
    assert now["Spans"] == store.query("SELECT count() AS n FROM otel_traces")[0]["n"]
    parts = {row["Table"]: row["Rows"] for row in rows(store, "health: Parts")}
    assert parts["otel_traces"] == now["Spans"]


def test_the_health_page_says_what_came_late_and_what_came_twice(store: Store) -> None:
    store.sql("SYSTEM STOP MERGES internal_steps", read_only=False)
    grafana_data.send_again(store, "s000000", "s000001")
    (raw,) = store.query("SELECT count() AS n FROM internal_steps")
    (unique,) = store.query("SELECT count() AS n FROM internal_steps FINAL")
    shown = rows(store, "health: Late and repeated rows")
    assert sum(row["Repeated"] for row in shown) == raw["n"] - unique["n"] >= 2
    # The oldest episode, of two steps, was recorded sixty days before it was stored.
    assert shown[0]["Late"] == 2
    lag = rows(store, "health: From the end of a step to its row")[0]
    assert lag["Median"] == pytest.approx(60 * 86_400, abs=600)


# --- what a query reads ----------------------------------------------------------------------------------------------


BY_TIME = [
    "overview: Slowest tools", "overview: Most failing tools", "health: Spans per minute, by their own time",
    "health: From the end of a step to its row", "health: Late and repeated rows",
]  # fmt: skip


@pytest.mark.parametrize("panel", BY_TIME)
def test_a_short_time_range_reads_only_the_partitions_it_touches(store: Store, panel: str) -> None:
    lately = replace(ASKED, start=NOW // SECOND - 3600)
    assert 0 < rows_to_read(store, panel, lately) < rows_to_read(store, panel, ASKED)


def rows_to_read(store: Store, panel: str, asked: Asked) -> int:
    result = store.sql(f"EXPLAIN ESTIMATE {expand(PANELS[panel].sql, asked)}", read_only=False)
    return sum(row[result.columns.index("rows")] for row in result.rows)


@pytest.mark.parametrize(
    "panel",
    ["episode: The episode", "episode: Steps", "episode: What it teaches", "episode: Reward and what it is made of"],
)
def test_one_episode_is_read_by_its_key(store: Store, panel: str) -> None:
    plan = plan_of(store, panel)
    reads = len(re.findall(r"ReadFromMergeTree \(\S+\.internal_(?!settings|conventions)", plan))
    assert reads > 0
    assert len(re.findall(r"PrimaryKey\W+Keys:(?:\W+Formula)?\W+EpisodeId", plan)) == reads


def test_a_trace_is_read_from_its_own_days_by_its_id(store: Store) -> None:
    plan = plan_of(store, "episode: Trace").rpartition("otel_traces)")[2]
    parts = re.findall(r"Partition\W+Keys:\W+toDate\(Timestamp\).*?Parts: (\d+)/(\d+)", plan, re.DOTALL)
    assert parts
    assert all(int(read) <= 2 for read, _ in parts)
    assert "idx_trace_id" in plan


def plan_of(store: Store, panel: str) -> str:
    return "\n".join(
        line for (line,) in store.sql(f"EXPLAIN indexes = 1 {expand(PANELS[panel].sql, ASKED)}", read_only=False).rows
    )


# --- from one page to the next ---------------------------------------------------------------------------------------


@each_panel
def test_links_lead_to_a_dashboard_and_to_variables_that_exist(panel: Panel) -> None:
    pages = {dashboard.json["uid"]: dashboard for dashboard in dashboards()}
    (here,) = [dashboard for dashboard in dashboards() if dashboard.name == panel.dashboard]
    for link in panel.links:
        used = {name for name in re.findall(r"\$\{(\w+)", link["url"]) if not name.startswith("__")}
        assert used <= set(here.variables)
        url = urlsplit(interpolate(link["url"].replace("&${__url_time_range}", "&from=1&to=2"), CHOSEN))
        if url.path.startswith("/d/"):
            target = pages[url.path.removeprefix("/d/")]
            given = parse_qs(url.query)
            assert {name.removeprefix("var-") for name in given if name.startswith("var-")} <= set(target.variables)
            assert (given["from"], given["to"]) == (["1"], ["2"])


def test_a_trace_id_leads_to_explore_with_the_jaeger_data_source() -> None:
    urls = {link["url"] for panel in PANELS.values() for link in panel.links if link["url"].startswith("/explore")}
    assert urls
    for url in urls:
        filled = re.sub(r"\$\{__data\.fields\.\w+:percentencode\}", "abc", url)
        filled = interpolate(filled.replace("${__from}", "1").replace("${__to}", "2"), CHOSEN)
        panes = json.loads(unquote(urlsplit(filled).query.partition("panes=")[2]))
        query = {"refId": "A", "datasource": {"type": "jaeger", "uid": CHOSEN["jaeger"]}, "query": "abc"}
        assert panes == {
            "trace": {"datasource": CHOSEN["jaeger"], "queries": [query], "range": {"from": "1", "to": "2"}}
        }


def test_every_page_leads_to_every_other_and_keeps_time_and_choices() -> None:
    for dashboard in dashboards():
        (link,) = dashboard.json["links"]
        assert set(link["tags"]) <= set(dashboard.json["tags"])
        assert (link["type"], link["includeVars"], link["keepTime"]) == ("dashboards", True, True)
