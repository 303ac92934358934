"""How many runs of other frameworks are read rightly: files of spans beside what their programs did.

    python benchmarks/foreign.py FOLDER [--show NAME] [--json FILE]

FOLDER holds files of rows as in ``otel_traces`` and ``labels.json``: for each file its episodes in the order of their
start, with ``outcome``, ``steps`` as ``[tool, succeeded]`` and, where the spans carry it, ``agent``, ``task``,
``model_calls``, ``input_tokens``, ``output_tokens``, ``content`` and ``step_agents``. *core* is episodes, outcomes and
steps; *all* is everything that is labelled.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from otel_episodes_clickhouse import Store, Target
from otel_episodes_clickhouse.spool.row import Row

EPISODES = """
SELECT EpisodeId, TraceId, AgentName, Task, Outcome, ModelCalls, InputTokens, OutputTokens
FROM episodes
ORDER BY StartTime, EpisodeId
"""
STEPS = """
SELECT EpisodeId, TraceId, Tool, Success, AgentName, Action, Observation
FROM steps
ORDER BY StartTime, SpanId
"""


def main() -> None:
    """Insert, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--show", default="", help="print what is read of the files whose name begins so")
    parser.add_argument("--json", type=Path, help="write what is wrong with each file")
    options = parser.parse_args()
    labels = json.loads((options.folder / "labels.json").read_text())
    labels.pop("note", None)
    with tempfile.TemporaryDirectory() as directory, Store.open(Target.resolve(f"chdb://{directory}")) as store:
        store.migrate()
        traces = {name: insert(store, options.folder / f"{name}.json") for name in labels}
        read = store.query(EPISODES), store.query(STEPS)
    wrong = {}
    for name, label in labels.items():
        episodes, steps = ([row for row in rows if row["TraceId"] in traces[name]] for rows in read)
        if options.show and name.startswith(options.show):
            sys.stdout.write(json.dumps([episodes, steps], default=str, indent=1) + "\n")
        wrong[name] = differences(episodes, steps, label)
    report(wrong)
    if options.json:
        options.json.write_text(json.dumps(wrong, indent=1))


def insert(store: Store, path: Path) -> set[str]:
    """Insert the rows of a file and return its traces."""
    spans = json.loads(path.read_text())
    store.insert_rows([row_of(span) for span in spans])
    return {span["TraceId"] for span in spans}


def row_of(span: dict[str, Any]) -> Row:
    """Return a span of a file as a row."""
    events = span.get("Events", [])
    return Row(
        span["Timestamp"],
        span["TraceId"],
        span["SpanId"],
        span.get("ParentSpanId", ""),
        span_name=span["SpanName"],
        span_kind=span.get("SpanKind", ""),
        service_name=span.get("ServiceName", ""),
        resource_attributes=span.get("ResourceAttributes", {}),
        scope_name=span.get("ScopeName", ""),
        scope_version=span.get("ScopeVersion", ""),
        span_attributes=span["SpanAttributes"],
        duration=span["Duration"],
        status_code=span["StatusCode"],
        status_message=span.get("StatusMessage", ""),
        event_timestamps=tuple(event["Timestamp"] for event in events),
        event_names=tuple(event["Name"] for event in events),
        event_attributes=tuple(event["Attributes"] for event in events),
    )


def differences(
    episodes: list[dict[str, Any]], steps: list[dict[str, Any]], label: dict[str, Any]
) -> dict[str, list[str]]:
    """Return what of a file is read otherwise than labelled, core and the rest."""
    found: dict[str, list[str]] = {"core": [], "rest": []}
    if "episodes" not in label:
        compare(found["core"], "steps", label["steps"], [[step["Tool"], step["Success"]] for step in steps])
        return found
    compare(found["core"], "episodes", len(label["episodes"]), len(episodes))
    for wanted, episode in zip(label["episodes"], episodes, strict=False):
        one(found, wanted, episode, [step for step in steps if step["EpisodeId"] == episode["EpisodeId"]])
    return found


def one(
    found: dict[str, list[str]], wanted: dict[str, Any], episode: dict[str, Any], steps: list[dict[str, Any]]
) -> None:
    """Compare one episode."""
    compare(found["core"], "outcome", wanted["outcome"], episode["Outcome"])
    want, got = wanted["steps"], [[step["Tool"], step["Success"]] for step in steps]
    if wanted.get("any_order"):
        want, got = sorted(want, key=str), sorted(got, key=str)
    compare(found["core"], "steps", want, got)
    rest = found["rest"]
    if "agent" in wanted and episode["AgentName"] not in wanted["agent"]:
        compare(rest, "agent", wanted["agent"], episode["AgentName"])
    if wanted.get("task", "") not in episode["Task"]:
        compare(rest, "task", wanted["task"], episode["Task"][:100])
    for key, column in (
        ("model_calls", "ModelCalls"), ("input_tokens", "InputTokens"), ("output_tokens", "OutputTokens"),
    ):  # fmt: skip
        if key in wanted:
            compare(rest, key, wanted[key], episode[column])
    if wanted.get("content"):
        compare(rest, "content", [True] * len(steps), [bool(step["Action"] and step["Observation"]) for step in steps])
    if "step_agents" in wanted:
        compare(rest, "step_agents", wanted["step_agents"], [step["AgentName"] for step in steps])


def compare(into: list[str], what: str, wanted: object, got: object) -> None:
    """Note a difference."""
    if wanted != got:
        into.append(f"{what}: {got} instead of {wanted}")


def report(wrong: dict[str, dict[str, list[str]]]) -> None:
    """Print a line for each framework and one for each file that is not read rightly."""
    files, core, whole = Counter[str](), Counter[str](), Counter[str]()
    for name, found in wrong.items():
        framework = name.rpartition("_")[0] or name
        files[framework] += 1
        core[framework] += not found["core"]
        whole[framework] += not found["core"] and not found["rest"]
    for framework in files:
        print(f"{framework:24} files {files[framework]:3}  core {core[framework]:3}  all {whole[framework]:3}")
    print(f"{'total':24} files {files.total():3}  core {core.total():3}  all {whole.total():3}")
    for name, found in wrong.items():
        for text in (*found["core"], *found["rest"]):
            print(f"  {name}: {text}", file=sys.stderr)


if __name__ == "__main__":
    main()
