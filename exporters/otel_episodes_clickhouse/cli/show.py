"""`otel-episodes show`: one episode as a tree of steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from otel_episodes import UsageError, semconv
from otel_episodes_clickhouse.cli import output
from otel_episodes_clickhouse.cli.episodes import Row, for_json
from otel_episodes_clickhouse.cli.opening import reading
from otel_episodes_clickhouse.cli.options import Dsn, Json, add
from otel_episodes_clickhouse.errors import StoreError

if TYPE_CHECKING:
    from otel_episodes_clickhouse.cli.tree import EpisodeTree
    from otel_episodes_clickhouse.store.store import Store

# Steps of an episode on the screen at once.
_PAGE: Final = 500
_ALL: Final = 2**63


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    add(app, show)


def show(
    identifier: Annotated[
        str, typer.Argument(metavar="ID", help="An episode's or trace's id; its beginning is enough.")
    ],
    first: Annotated[
        int, typer.Option("--from", help="The first step to show, counted from 1.", min=1, show_default=False)
    ] = 1,
    limit: Annotated[
        int | None, typer.Option(help="At most so many steps: 500 for people, with --json all.", min=1)
    ] = None,
    calls: Annotated[bool, typer.Option("--calls", help="Each call of a model as a line of the tree.")] = False,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Show one episode as a tree of steps.

    With a bar for the time of each, the sub-agents it started, and how often it called which model.

    Examples:
      otel-episodes show 4f1c
      otel-episodes show 4f1c --from 501
      otel-episodes show 4f1c --calls
      otel-episodes show 4f1c --json
    """
    if not identifier.strip():
        raise UsageError("name an episode by the beginning of its id: see `otel-episodes episodes`")
    with reading(dsn) as store:
        tree = load(store, find(store, identifier.strip()), first, limit or (_ALL if json else _PAGE))
    if json:
        output.json(_tree_json(tree))
        return
    from otel_episodes_clickhouse.cli.tree import draw  # noqa: PLC0415  # with rich

    draw(tree, output.console(), calls=calls)
    last, steps = first + len(tree.steps) - 1, tree.episode["Steps"]
    if first > 1 or last < steps:
        more = f"; the next: --from {last + 1}" if tree.steps and last < steps else ""
        output.note(f"(steps {first:,} to {last:,} of {steps:,}{more})")


def find(store: Store, identifier: str) -> Row:
    """Return the one episode whose id or trace is or begins with that. Raises ``StoreError`` for none or several."""
    candidates = store.query_named("find_episodes", {"prefix": identifier})
    exact = [row for row in candidates if identifier in (row["EpisodeId"], row["TraceId"])]
    found = exact or candidates
    if len(found) != 1:
        _not_one(identifier, candidates)
    return found[0]


def _not_one(identifier: str, candidates: list[Row]) -> NoReturn:
    shown = output.one_line(identifier)[:40]
    if not candidates:
        raise StoreError(f"no episode's id begins with {shown}: see `otel-episodes episodes`")
    for row in candidates:
        output.note(f"  {row['EpisodeId']}  {row['Outcome']:<9}  {output.one_line(row['Task'])[:30]}")
    raise StoreError(f"{shown} is the beginning of {len(candidates)} ids or more, those above: give more of it")


def load(store: Store, episode: Row, first: int = 1, limit: int = _ALL) -> EpisodeTree:
    """Read everything about an episode that is shown, of its steps so many from the first one."""
    from otel_episodes_clickhouse.cli.tree import EpisodeTree  # noqa: PLC0415  # with rich

    identifier = {"id": episode["EpisodeId"]}
    steps = store.query_named("steps_of_episode", {**identifier, "limit": limit, "offset": first - 1})
    segments = store.query_named("episode_segments", identifier)
    traces = sorted({row["TraceId"] for row in (*steps, *segments)})
    spans = store.query_named("trace_spans", {"trace_ids": traces})
    below: dict[str, list[Row]] = {}
    started = {
        trace: span["SpanId"]
        for span in spans
        for trace, kind in zip(span["LinkTraceIds"], span["LinkKinds"], strict=True)
        if kind == semconv.LINK_DELEGATES
    }
    known = {step["SpanId"] for step in steps}
    for row in store.query_named("sub_agents", identifier):
        starter = started.get(row["TraceId"], "")
        below.setdefault(starter if starter in known else "", []).append(row)
    parents = {span["SpanId"]: span["ParentSpanId"] for span in spans}
    scores = store.query_named("scores_of_episode", identifier)
    calls = store.query_named("calls_of_episode", identifier) if episode["ModelCalls"] else []
    return EpisodeTree(episode, steps, segments, parents, below, scores, calls)


def _tree_json(tree: EpisodeTree) -> Row:
    sub_agents = [{**for_json(row), "StartedByStep": span} for span, rows in tree.sub_agents.items() for row in rows]
    return {
        **for_json(tree.episode),
        "SegmentList": [for_json(row) for row in tree.segments],
        "StepList": [for_json(row) for row in tree.steps],
        "CallList": [for_json(row) for row in tree.calls],
        "SubAgents": sub_agents,
        "Scores": [{**row, "Time": output.iso_time(row["Time"])} for row in tree.scores],
    }
