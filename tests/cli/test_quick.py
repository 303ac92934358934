"""The quick way of start, step and complete writes what the ordinary way writes, and leaves everything else to it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from otel_episodes_clickhouse import Target
from otel_episodes_clickhouse.cli import quick
from otel_episodes_clickhouse.cli.app import run
from otel_episodes_clickhouse.spool.decode import LineDecoder

if TYPE_CHECKING:
    from pathlib import Path

    from otel_episodes_clickhouse.spool.row import Row

HANDLE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.18ec245c55e8ac52.{segment}.{id}.{agent}"
PLAIN = HANDLE.format(segment="0", id="", agent="")
NAMED = HANDLE.format(segment="2", id="release-7", agent="coder")
LONG = "The quick brown fox jumps over the lazy dog. " * 60
SECRET = "curl -H 'Authorization: Bearer abcdef0123456789abcdef' https://user:hunter22@example.com"

SAME = [
    ["start", "Fix the flaky test"],
    ["start", "--agent", "coder", "Fix it", "--language=rust", "--domain", "web-api", "--task-type", "debugging"],
    ["start", 'Größer: 数据 \u2028 "quoted" \\ back\nnew line\t', "--agent", "Zoë v1.2", "--framework", "tokio"],
    ["start", LONG, "--tag", "ci", "--tag", SECRET, "--complexity", "moderate"],
    ["start", SECRET],
    ["step", PLAIN, "--tool", "cargo", "--action", "test", "--latency-ms", "3200"],
    ["step", NAMED, "--tool", "cargo", "--action", "test", "--latency-ms", "0.25", "--tokens", "1200/300"],
    ["step", PLAIN, "--tool", "llm", "--tokens", "2800", "--kind", "error_handling"],
    ["step", PLAIN, "--tool", "bash", "--action", SECRET, "--observation", SECRET],
    ["step", PLAIN, "--tool", "bash", "--action", LONG, "--observation", LONG],
    ["step", PLAIN, "--tool", "bash", "--action", '{"a": ["x", 1, true, null], "b": "' + "y" * 300],
    ["step", PLAIN, "--tool", "bash", "--failed", "--observation", f"first line\n  {SECRET}\n{LONG}"],
    ["step", NAMED, "--tool", "bash", "--failed", "--error-type", "TimeoutError"],
    ["step", PLAIN, "--tool", "bash", "--failed"],
    ["step", PLAIN, "--tool", "llm", "--tokens", "0"],
    ["step", PLAIN, "--kind", "milestone", "--action", "tests   green\nat last"],
    ["step", PLAIN, "--kind", "decision_point", "--tool", "which parser", "--observation", "the old one"],
    ["step", PLAIN, "--kind", "milestone"],
    ["complete", PLAIN, "--outcome", "success", "--verdict", "all pass", "--artifact", "a.rs", "--artifact", SECRET],
    ["complete", NAMED, "--outcome", "partial", "--done", "3", "--not-done", "1", "--reward", "0.5"],
    ["complete", PLAIN, "--outcome", "partial"],
    ["complete", NAMED, "--outcome", "failure", "--verdict", f"the build broke\n{SECRET}"],
    ["complete", PLAIN, "--outcome", "failure"],
    ["complete", NAMED, "--outcome", "abstained", "--verdict", LONG, "--reward", "1"],
]  # fmt: skip
LEFT = [
    [],
    ["start"],
    ["start", "--help"],
    ["start", "x", "y"],
    ["start", "x", "--complexity", "huge"],
    ["start", "x", "--agent"],
    ["start", "x", "--agent", "n" * 200],
    ["start", "x", "--dsn", "clickhouse://host"],
    ["start", "x", "--dsn", "chdb://host/path"],
    ["start", "--resume", PLAIN],
    ["start", "lone \udcff surrogate"],
    ["step", PLAIN],
    ["step", "nonsense", "--tool", "x"],
    ["step", PLAIN.replace("-01.", "-00."), "--tool", "x"],
    ["step", HANDLE.format(segment="0e", id="", agent=""), "--tool", "x"],
    ["step", HANDLE.format(segment="0", id="a%2Fb", agent=""), "--tool", "x"],
    ["step", PLAIN, "--tool", "x", "--latency-ms", "nan"],
    ["step", PLAIN, "--tool", "x", "--latency-ms", "-1"],
    ["step", PLAIN, "--tool", "x", "--tokens", "1/"],
    ["step", PLAIN, "--tool", "x", "--error-type", "E"],
    ["step", PLAIN, "--tool", "x", "--action", '{"a": ["x", 1, true, null], "password": "y"}'],
    ["step", PLAIN, "--tool", "x", "--failed=yes"],
    ["step", PLAIN, "--tool", "t" * 200],
    ["complete", PLAIN],
    ["complete", PLAIN, "--outcome", "success", "--done", "1"],
    ["complete", PLAIN, "--outcome", "failure", "--artifact", "a"],
    ["complete", PLAIN, "--outcome", "success", "--reward", "nan"],
    ["episodes"],
]  # fmt: skip


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("OTEL_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_EPISODES_HOME", str(tmp_path / "home"))


def recorded(spool: Path) -> list[Row]:
    """Return the rows of what is in a spool, and empty it."""
    rows = []
    for segment in sorted(spool.glob("*.jsonl")):
        decode = LineDecoder()
        rows += [row for row in map(decode, segment.read_bytes().splitlines(keepends=True)) if row is not None]
        segment.unlink()
    return rows


def alike(row: Row, printed: str) -> tuple[object, ...]:
    """Return a row, and the handle that was printed, with what is drawn or timed told by its shape."""
    same = row.trace_id in PLAIN
    ids = (row.trace_id, row.parent_span_id) if same else (len(row.trace_id), len(row.parent_span_id))
    span_id = row.span_id if row.span_id in PLAIN else len(row.span_id)
    attributes = {key: value.replace(row.trace_id, "TRACE") for key, value in row.span_attributes.items()}
    # Both end now; the root's start is that of the handle.
    took = row.duration if "invoke_agent" not in row.span_name else row.timestamp
    shape = re.sub(r"^00-[0-9a-f]{32}-[0-9a-f]{16}-01\.[0-9a-f]{16}", "IDS", printed)
    kept = row._replace(timestamp=0, trace_id="", span_id="", parent_span_id="", span_attributes={}, duration=0)
    return kept, ids, span_id, attributes, took, shape


@pytest.mark.parametrize("arguments", SAME, ids=lambda arguments: " ".join(arguments)[:60].encode("ascii", "replace"))
def test_both_ways_write_the_same(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    spool = Target.resolve().spool

    assert quick.run(arguments)
    fast, printed = recorded(spool), capsys.readouterr().out
    assert run(arguments) == 0
    slow, told = recorded(spool), capsys.readouterr().out

    assert [alike(row, printed) for row in fast] == [alike(row, told) for row in slow]
    assert len(fast) == 1
    assert fast[0].resource_attributes == {"service.name": "otel-episodes"}


@pytest.mark.parametrize("arguments", LEFT, ids=lambda arguments: " ".join(arguments)[:60].encode("ascii", "replace"))
def test_what_is_not_plain_is_left_to_the_ordinary_way(arguments: list[str], tmp_path: Path) -> None:
    assert not quick.run(arguments)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_EPISODES_CAPTURE", "none"),
        ("OTEL_EPISODES_REDACT", "false"),
        ("OTEL_EPISODES_SPOOL_LIMIT", "1k"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "3"),
        ("OTEL_EPISODES_DSN", "https://host/db"),
    ],
)
def test_settings_that_change_what_is_recorded_are_left_to_the_ordinary_way(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert not quick.run(["start", "x"])
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    ("dsn", "environment"),
    [
        (None, {}),
        (None, {"OTEL_EPISODES_HOME": ""}),
        (None, {"OTEL_EPISODES_HOME": "~/there"}),
        (None, {"OTEL_EPISODES_HOME": "", "XDG_DATA_HOME": "{tmp}/data"}),
        (None, {"OTEL_EPISODES_DSN": "chdb://{tmp}/named"}),
        ("chdb://{tmp}/a/../given", {"OTEL_EPISODES_DSN": "chdb://{tmp}/named"}),
        ("chdb:///", {}),
        ("", {"OTEL_EPISODES_DSN": "chdb://{tmp}/named"}),
    ],
)
def test_both_ways_find_the_same_spool(
    dsn: str | None, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(tmp=tmp_path))
    dsn = dsn and dsn.format(tmp=tmp_path)
    assert quick.run(["start", "x", *(["--dsn", dsn] if dsn is not None else [])])
    assert len(recorded(Target.resolve(dsn).spool)) == 1


def test_the_service_is_named_as_the_environment_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "nightly")
    assert quick.run(["start", "x"])
    assert [row.service_name for row in recorded(Target.resolve().spool)] == ["nightly"]


def test_neither_typer_nor_the_sdk_is_loaded() -> None:
    code = (
        "import sys; sys.argv[1:] = ['start', 'x']; from otel_episodes_clickhouse.cli import main; main()\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'typer', 'pydantic', 'asyncio', 'opentelemetry', 'orjson', 'wrapt', 'dataclasses', 'inspect', 'logging'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1:] == ["[]"]
