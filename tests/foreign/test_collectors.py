"""The same episodes by our own exporter, by rotel and by an OpenTelemetry Collector: the same rows, and what follows.

The collectors are real; the server is the front end over the embedded engine.
"""

from __future__ import annotations

import base64
import json
import math
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from collectors import eventually, front_end, otelcol, otelcol_binary, rotel, rotel_binary, rotel_environ

from otel_episodes_clickhouse import Store, Target
from otel_episodes_clickhouse.learning import jobs
from otel_episodes_clickhouse.store.backfill import backfill

if TYPE_CHECKING:
    from collections.abc import Iterator

AGENT = Path(__file__).parents[1] / "support" / "collectors_agent.py"
# Every span of the agent, and the episode span that was ended a second time, by its handle.
SPANS = 114
DERIVED = ("internal_steps", "internal_roots", "internal_decisions", "internal_evaluations", "internal_advice")
LEARNED = {
    "episodes": "SELECT * FROM episodes ORDER BY EpisodeId",
    "rewards": "SELECT * EXCEPT (Version, WrittenAt) FROM internal_rewards FINAL ORDER BY Formula, EpisodeId",
    "reflections": "SELECT * EXCEPT (Version, WrittenAt) FROM internal_reflections FINAL ORDER BY EpisodeId",
    "patterns": "SELECT Type, Domain, Key, Support, SuccessRate, Lift, MeanReward FROM patterns ORDER BY ALL",
}


@dataclass
class Server:
    """A front end, and stores in databases of their own on it."""

    url: str
    home: Path

    def create(self, database: str) -> Store:
        with Store.open(Target.resolve(f"{self.url}/default")) as store:
            store.sql("CREATE DATABASE IF NOT EXISTS {name:Identifier}", {"name": database}, read_only=False)
        return self.store(database)

    def store(self, database: str) -> Store:
        return Store.open(Target.resolve(f"{self.url}/{database}", environ={"OTEL_EPISODES_HOME": str(self.home)}))

    def run_agent(self, dsn: str, *collectors: str) -> None:
        environ = {**os.environ, "OTEL_EPISODES_HOME": str(self.home)}
        arguments = [f"grpc://{collector}" for collector in collectors]
        done = subprocess.run(
            [sys.executable, AGENT, dsn, *arguments], env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1]) == {"flushed": True}, done.stderr


def spans_in(store: Store) -> int:
    return int(store.query("SELECT count() AS n FROM otel_traces")[0]["n"])


def rows_of(store: Store) -> list[dict[str, Any]]:
    return store.query("SELECT * FROM otel_traces ORDER BY TraceId, SpanId, Duration")


def derived_of(store: Store) -> dict[str, list[dict[str, Any]]]:
    return {
        table: store.query(
            "SELECT * FROM {table:Identifier} FINAL ORDER BY ALL SETTINGS asterisk_include_materialized_columns = 0",
            {"table": table},
        )
        for table in DERIVED
    }


def without(rows: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("collectors")
    with front_end(directory / "server") as url:
        yield Server(url, directory / "home")


@pytest.fixture(scope="module")
def stores(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Store]]:
    """Record once, three ways: each way in a database of its own."""
    otelcol_binary()
    rotel_binary()
    directory = tmp_path_factory.mktemp("three-ways")
    with ExitStack() as stack:
        ways = {name: stack.enter_context(server.create(name)) for name in ("own", "by_rotel")}
        ways["by_rotel"].migrate()
        to_otelcol = stack.enter_context(
            otelcol(
                directory / "otelcol", "gateway.yaml", CLICKHOUSE_ENDPOINT=server.url,
                CLICKHOUSE_DATABASE="by_otelcol", JAEGER_ENDPOINT="127.0.0.1:1",
            )
        )  # fmt: skip
        # It makes its tables when it starts; ours come beside them.
        ways["by_otelcol"] = stack.enter_context(server.store("by_otelcol"))
        ways["by_otelcol"].migrate()
        to_rotel = stack.enter_context(rotel(directory / "rotel", **rotel_environ(server.url, "by_rotel")))
        server.run_agent(f"{server.url}/own", to_otelcol, to_rotel)
        ways["own"].drain()
        for name, store in ways.items():
            eventually(lambda store=store: spans_in(store) >= SPANS, f"{name} is not complete, see {directory}")
        yield ways


# --- equal rows ----------------------------------------------------------------------------------------------------


def test_an_opentelemetry_collector_writes_the_rows_we_write(stores: dict[str, Store]) -> None:
    own, theirs = rows_of(stores["own"]), rows_of(stores["by_otelcol"])
    assert len(own) == SPANS
    # As text: two dictionaries are equal in any order of their keys, two maps of ClickHouse are not.
    assert list(map(json.dumps, own)) == list(map(json.dumps, theirs))


def test_rotel_writes_the_rows_we_write_but_for_how_some_values_are_spelt(stores: dict[str, Store]) -> None:
    own, theirs = rows_of(stores["own"]), rows_of(stores["by_rotel"])
    assert len(own) == len(theirs) == SPANS
    spelt_otherwise = 0
    for ours, others in zip(own, theirs, strict=True):
        for column, value in ours.items():
            if value != others[column]:
                assert column.endswith("Attributes"), column
                spelt_otherwise += 1
                assert same_attributes(value, others[column]), (value, others[column])
    # Were there none, this test would have nothing to compare, and the docs a sentence too many.
    assert spelt_otherwise


def same_attributes(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(same_attributes, ours, theirs))
    return ours.keys() == theirs.keys() and all(same_value(text, theirs[key]) for key, text in ours.items())


def same_value(ours: str, theirs: str) -> bool:
    """Tell whether two texts stand for one value: a number, bytes, or a list or map as JSON and as OTLP-JSON."""
    if ours == theirs:
        return True
    if theirs.startswith('{"values":'):
        return plain(json.loads(theirs)["values"]) == json.loads(ours)
    if theirs == "null":
        return ours in {"NaN", "Infinity", "-Infinity"}
    try:
        return math.isclose(float(ours), float(theirs), rel_tol=0)
    except ValueError:
        return base64.b64decode(ours).hex() == theirs


def plain(values: list[dict[str, Any]]) -> Any:
    """Return what OTLP-JSON's values stand for, bytes in base64."""
    if values and "key" in values[0]:
        return {pair["key"]: plain_value(pair.get("value") or {}) for pair in values}
    return [plain_value(value) for value in values]


def plain_value(value: dict[str, Any]) -> Any:
    ((kind, content),) = value.items() or (("none", None),)
    if kind == "intValue":
        return int(content)
    if kind == "kvlistValue":
        return {pair["key"]: plain_value(pair.get("value") or {}) for pair in content["values"]}
    if kind == "arrayValue":
        return plain(content["values"])
    if kind == "bytesValue" and isinstance(content, list):
        return base64.b64encode(bytes(content)).decode()
    return content


# --- equal episodes, rewards and patterns --------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["by_otelcol", "by_rotel"])
def test_steps_episodes_rewards_and_patterns_are_the_same_whoever_wrote_the_spans(
    stores: dict[str, Store], way: str
) -> None:
    own, theirs = stores["own"], stores[way]
    # rotel spells lists otherwise, so what is kept of other attributes word for word differs; see the test above.
    unlike = ("InsertedAt", "Attributes") if way == "by_rotel" else ("InsertedAt",)
    for table, rows in derived_of(own).items():
        assert rows, table
        assert without(rows, *unlike) == without(derived_of(theirs)[table], *unlike)
    learned = {}
    for name in ("own", way):
        jobs.run(stores[name], full=True)
        learned[name] = {what: without(stores[name].query(statement), *unlike) for what, statement in LEARNED.items()}
    assert all(learned["own"].values())
    assert learned[way] == learned["own"]


def test_a_backfill_makes_of_older_spans_what_the_views_would_have(server: Server, stores: dict[str, Store]) -> None:
    with server.create("late") as store:
        for statement in (
            "CREATE TABLE otel_traces AS by_otelcol.otel_traces",
            "INSERT INTO otel_traces SELECT * FROM by_otelcol.otel_traces",
        ):
            store.sql(statement, read_only=False)
        first = {done.table: done.added for done in backfill(store)}
        assert first["internal_steps"] > 0
        assert first["internal_roots"] > 0
        expected = derived_of(stores["by_otelcol"])
        for table, rows in derived_of(store).items():
            assert without(rows, "InsertedAt") == without(expected[table], "InsertedAt")
        changed = "SELECT uniqExact(EpisodeId) AS n FROM internal_changes"
        assert store.query(changed) == stores["by_otelcol"].query(changed)
        again = {done.table: done.added for done in backfill(store)}
        assert set(again.values()) == {0}
