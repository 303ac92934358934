"""One episode: what it was, its steps in the order and below the steps they belong to, what it earned and teaches."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from otel_episodes import semconv
from otel_episodes._for_store import Handle
from otel_episodes_clickhouse.learning.formulas import active_formula
from otel_episodes_clickhouse.serve.pages import listing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_episodes_clickhouse.store.store import Store

Row = dict[str, Any]

PAGE: Final = 500
_MOST_CALLS: Final = 2000
_MARGIN_NS: Final = 60_000_000_000
_DEEPEST: Final = 40
# Parts of a run at whose end its outlook is worked out; each takes the engine about half a second.
_POINTS: Final = 4
# Width of the drawn bars, in units of their own.
WIDTH: Final = 1000


def whole_id(store: Store, identifier: str) -> str:
    """Return the id of the one episode whose id or trace is or begins with that; empty for none or several."""
    if listing.of_ids(store, [identifier]):
        return identifier
    found = [row["EpisodeId"] for row in store.query_named("page_find", {"prefix": identifier})]
    return found[0] if len(found) == 1 else ""


def load(store: Store, identifier: str, first: int = 1, limit: int = PAGE) -> Row | None:
    """Return an episode with ``Spans``, of its steps so many from the first one; None where there is none."""
    heads = listing.of_ids(store, [identifier])
    if not heads:
        return None
    head = heads[0]
    head.pop("ByScore", None)
    if head["Outcome"] == "running":
        head["DurationNs"] = max(0, time.time_ns() - head["StartTime"])
    formula = active_formula(store)
    reward = store.query_named("page_reward", {"formula": formula, "id": identifier})
    reflection = store.query_named("reflection_of", {"episode": identifier})
    return {
        "Episode": head,
        "First": first,
        **_timeline(store, head, first, limit),
        "Reward": reward[0] if reward else None,
        "Judgements": store.query_named("page_judgements", {"id": identifier}),
        "Reflection": reflection[0] if reflection else None,
    }


def steps_of(store: Store, identifier: str, first: int = 1, limit: int = PAGE) -> list[Row]:
    """Return the steps of an episode in their order, each numbered under ``Number`` from 1."""
    return _steps(store, identifier, first, limit, other=_is_of_others(store, identifier))


def _is_of_others(store: Store, identifier: str) -> bool:
    return bool(store.query_named("page_of_others", {"ids": [identifier]}))


def _steps(store: Store, identifier: str, first: int, limit: int, *, other: bool) -> list[Row]:
    asked = {"id": identifier, "limit": limit, "offset": first - 1}
    steps = store.query_named("page_other_steps" if other else "page_own_steps", asked)
    return [{**step, "Number": first + place} for place, step in enumerate(steps)]


def alike(store: Store, identifier: str, outcome: str = "", limit: int = 6) -> list[Row]:
    """Return the runs most like this one, of one outcome or any, as the jobs last saw them."""
    return store.query_named("page_alike", {"id": identifier, "outcome": outcome, "limit": limit})


def handle(store: Store, identifier: str) -> str:
    """Return the handle by which somebody goes on with an episode; empty for one that we did not record."""
    for root in store.query_named("page_handle", {"id": identifier}):
        with suppress(ValueError):
            return str(Handle(
                int(root["TraceId"], 16), int(root["SpanId"], 16), sampled=True, start_time=root["StartTime"],
                segment=root["Segment"], ended=root["Ended"], episode_id=identifier, agent=root["AgentName"],
            ))  # fmt: skip
    return ""


def outlook(store: Store, identifier: str) -> list[Row]:
    """Return how likely the run was to succeed along it: ``After`` so many steps, ``Tool`` the last of them."""
    steps = [step for step in steps_of(store, identifier) if step["Tool"]]
    heads = listing.of_ids(store, [identifier])
    if not heads:
        return []
    head = heads[0]
    places = sorted({round(len(steps) * part / (_POINTS - 1)) for part in range(_POINTS)})
    found = []
    for place in places:
        asked = {
            "domain": head["Domain"], "task": head["Task"], "episode": identifier, "ended": False,
            "tools": [step["Tool"] for step in steps[:place]],
        }  # fmt: skip
        said = store.query_named("outlook", asked)
        if said and said[0]["Episodes"]:
            number = steps[place - 1]["Number"] if place else 0
            tool = steps[place - 1]["Tool"] if place else ""
            found.append({"After": number, "Tool": tool, **said[0]})
    return found


def _timeline(store: Store, head: Row, first: int, limit: int) -> Row:
    """Return steps, calls of models and sub-agents as one list, each with its place on the clock of the run."""
    identifier = head["EpisodeId"]
    other = _is_of_others(store, identifier)
    steps = _steps(store, identifier, first, limit, other=other)
    calls: list[Row] = []
    if other:
        calls = store.query_named("page_model_calls", {"id": identifier, "limit": _MOST_CALLS})
    started = [row["EpisodeId"] for row in store.query_named("page_started_by", {"id": identifier})]
    agents = listing.of_ids(store, started)
    links = _links(store, head, steps) if agents or _has_gaps(head, steps) else []
    nodes = [
        *({**step, "What": "step", "Above": step["ParentSpanId"]} for step in steps),
        *({**call, "What": "model", "Above": call["StepSpanId"]} for call in calls),
        *_agents(agents, links),
    ]
    parents = {span["SpanId"]: span["ParentSpanId"] for span in links}
    spans = list(_in_order(nodes, parents))
    _place(spans, head)
    return {"Spans": spans, "ModelCalls": calls, "SubAgents": agents}


def _has_gaps(head: Row, steps: Sequence[Row]) -> bool:
    """Return whether some step lies below a span that is neither a step nor, presumably, the root."""
    known = {step["SpanId"] for step in steps}
    above = {step["ParentSpanId"] for step in steps} - known - {""}
    return len(above) > int(head.get("Segments", 1))


def _links(store: Store, head: Row, steps: Sequence[Row]) -> list[Row]:
    traces = sorted({head["TraceId"], *(step["TraceId"] for step in steps)})
    since = min([head["StartTime"], *(step["StartTime"] for step in steps)]) - _MARGIN_NS
    until = max([head["EndTime"], *(step["StartTime"] for step in steps)]) + _MARGIN_NS
    return store.query_named("page_spans", {"traces": traces, "since": since, "until": until})


def _agents(agents: Sequence[Row], links: Sequence[Row]) -> Iterator[Row]:
    starters = {
        trace: span["SpanId"]
        for span in links
        for trace, kind in zip(span["LinkTraceIds"], span["LinkKinds"], strict=True)
        if kind == semconv.LINK_DELEGATES
    }
    for agent in agents:
        yield {**agent, "What": "agent", "SpanId": agent["TraceId"], "Above": starters.get(agent["TraceId"], "")}


def _in_order(nodes: Sequence[Row], parents: dict[str, str]) -> Iterator[Row]:
    """Yield each node after the one above it, with its ``Depth``; spans of others may lie between two."""
    known = {node["SpanId"] for node in nodes}
    below: dict[str, list[Row]] = {}
    for node in nodes:
        above, passed = node["Above"], {"", node["SpanId"]}
        while above not in known and above not in passed:
            passed.add(above)
            above = parents.get(above, "")
        below.setdefault(above if above in known and above not in passed else "", []).append(node)
    waiting = [(node, 0) for node in _by_start(below.pop("", []))]
    while waiting:
        node, depth = waiting.pop()
        yield {**node, "Depth": min(depth, _DEEPEST)}
        waiting += [(child, depth + 1) for child in _by_start(below.pop(node["SpanId"], []))]
    # What lies in a circle, as hostile spans may.
    for left in below.values():
        yield from ({**node, "Depth": 0} for node in left)


def _by_start(nodes: list[Row]) -> list[Row]:
    """Return nodes the latest first, to be taken from the end."""
    return sorted(nodes, key=lambda node: (node.get("Segment", 0), node["StartTime"], node["SpanId"]), reverse=True)


def _place(spans: list[Row], head: Row) -> None:
    """Put each span on the clock: ``From`` and ``Length`` in units of `WIDTH`, pauses between segments included."""
    begin = min([head["StartTime"], *(span["StartTime"] for span in spans)])
    end = max([head["EndTime"], begin + 1, *(span["StartTime"] + span["DurationNs"] for span in spans)])
    for span in spans:
        span["From"] = round(WIDTH * (span["StartTime"] - begin) / (end - begin), 1)
        span["Length"] = max(2.0, round(WIDTH * span["DurationNs"] / (end - begin), 1))
        span["From"] = min(span["From"], WIDTH - span["Length"])
