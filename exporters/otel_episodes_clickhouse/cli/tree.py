"""Episodes as a table, and one episode as a tree of steps with a bar for each step's time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from otel_episodes_clickhouse.cli.output import (
    OUTCOME_STYLES,
    count,
    duration,
    local_time,
    one_line,
    plural,
    short_id,
)
from otel_episodes_clickhouse.wording import dollars

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from rich.console import Console

Row = dict[str, Any]

BAR_WIDTH: Final = 16
_WIDE: Final = 110
# How a step went, and its colour; of one without an answer nobody knows.
_SUCCESS: Final = {True: ("ok", ""), False: ("failed", "red"), None: ("unknown", "dim")}
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_KIND_WORDS: Final = {"decision_point": "decide", "error_handling": "recover", "milestone": "milestone"}


@dataclass(frozen=True)
class EpisodeTree:
    """One episode with everything that `show` shows of it."""

    episode: Row
    steps: Sequence[Row]
    segments: Sequence[Row]
    # Of every span in the traces of the episode, the span above it.
    parents: Mapping[str, str] = field(default_factory=dict)
    # By the step that started them; '' for those that no step did.
    sub_agents: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    # What people and judges said of it, in the order of time.
    scores: Sequence[Row] = ()
    # Calls of models, in the order of time.
    calls: Sequence[Row] = ()

    def calls_below(self) -> dict[str, list[Row]]:
        """Return the calls of models made in each step; below '' those that no step made that is shown."""
        known = {step["SpanId"] for step in self.steps}
        segments = {segment["TraceId"]: segment["Segment"] for segment in self.segments}
        below: dict[str, list[Row]] = {}
        for call in self.calls:
            row = {**call, "Segment": segments.get(call["TraceId"], 0)}
            below.setdefault(call["StepSpanId"] if call["StepSpanId"] in known else "", []).append(row)
        return below

    def children(self) -> dict[str, list[Row]]:
        """Return the steps below each step; below '' those at the top."""
        known = {step["SpanId"] for step in self.steps}
        below: dict[str, list[Row]] = {}
        for step in self.steps:
            parent = step["ParentSpanId"]
            # Spans of other libraries may lie between two steps, and hostile ones in a circle.
            passed = {""}
            while parent not in known and parent not in passed:
                passed.add(parent)
                parent = self.parents.get(parent, "")
            parent = parent if parent in known else ""
            below.setdefault(parent, []).append(step)
        return below


def episodes_table(episodes: Sequence[Row], console: Console, now: datetime) -> Table:
    """Return a table of episodes that fits 80 columns."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", expand=True)
    table.add_column("ID", no_wrap=True, style="cyan")
    table.add_column("START", no_wrap=True)
    table.add_column("TASK", no_wrap=True, overflow="ellipsis", ratio=1)
    wide = console.width >= _WIDE
    if wide:
        table.add_column("AGENT", no_wrap=True, overflow="ellipsis", max_width=16)
    table.add_column("OUTCOME", no_wrap=True)
    for name in ("STEPS", "FAILED", *(("CALLS",) if wide else ()), "TOKENS", *(("COST",) if wide else ()), "TIME"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in episodes:
        cells: list[str | Text] = [
            short_id(row["EpisodeId"]),
            _started(row["StartTime"], now),
            Text(one_line(row["Task"])),
        ]
        if wide:
            cells.append(Text(one_line(row["AgentName"])))
        failed = Text(str(row["FailedSteps"]), style="red" if row["FailedSteps"] else "")
        tokens = row["InputTokens"] + row["OutputTokens"]
        table.add_row(
            *cells, outcome_text(row["Outcome"]), count(row["Steps"]), failed,
            *((count(row["ModelCalls"]) if row["ModelCalls"] else "-",) if wide else ()),
            count(tokens) if tokens else "-", *((dollars(row["Cost"]) or "-",) if wide else ()),
            duration(row["DurationNs"]),
        )  # fmt: skip
    return table


def _started(nanoseconds: int, now: datetime) -> str:
    moment = local_time(nanoseconds)
    if moment.date() == now.date():
        return f"{moment:%H:%M}"
    return f"{moment:%b} {moment.day}" if moment.year == now.year else f"{moment:%Y-%m}"


def outcome_text(outcome: str) -> Text:
    """Return an outcome as a word, coloured too."""
    return Text(outcome, style=OUTCOME_STYLES.get(outcome, ""))


def draw(tree: EpisodeTree, console: Console, *, calls: bool = False) -> None:
    """Print an episode: what it was about, how it went, its steps, and each call of a model or how many there were."""
    _draw_head(tree, console)
    if tree.steps or tree.sub_agents or tree.calls:
        console.print()
        console.print(_steps_table(tree, calls=calls, fancy=console.encoding.lower().startswith("utf")))


def _draw_head(tree: EpisodeTree, console: Console) -> None:
    row = tree.episode
    console.print(Text(one_line(row["Task"]) or "(no task)", style="bold"))
    outcome = outcome_text(row["Outcome"])
    if row["Verdict"]:
        outcome.append(f": {one_line(row['Verdict'])}")
    what = (row["AgentName"], row["TaskType"], row["Domain"], row["Language"], row["Framework"], row["Complexity"])
    steps = f"{plural(row['Steps'], 'step')}, {row['FailedSteps']} failed"
    tokens = f"{row['InputTokens']:,} in, {row['OutputTokens']:,} out"
    made_up = " (the source had no times)" if row["Attributes"].get("episode.time.synthetic") == "true" else ""
    facts: list[tuple[str, Any]] = [
        ("outcome", outcome),
        ("about", ", ".join(one_line(part) for part in (*what, *row["Tags"]) if part)),
        (
            "started",
            f"{local_time(row['StartTime']):%Y-%m-%d %H:%M:%S %Z}, took {duration(row['DurationNs'])}{made_up}",
        ),
        ("steps", steps),
        ("models", _calls_text(tree.calls) if tree.calls else ""),
        ("tokens", tokens if row["InputTokens"] or row["OutputTokens"] else ""),
        ("cost", dollars(row["Cost"])),
        ("reward", "" if row["ExternalReward"] is None else f"{row['ExternalReward']:g}"),
        *(("score", _score(said)) for said in tree.scores),
        ("artifacts", ", ".join(one_line(name) for name in row["Artifacts"])),
        ("parent", one_line(row["ParentId"])),
        ("episode", one_line(row["EpisodeId"])),
        ("trace", row["TraceId"] if row["TraceId"] != row["EpisodeId"] else ""),
    ]
    grid = Table.grid(padding=(0, 2))
    for name, value in facts:
        if value:
            grid.add_row(Text(name, style="dim"), value if isinstance(value, Text) else Text(value))
    console.print(grid)


def _score(said: Row) -> str:
    value = "" if said["Score"] is None else f"{said['Score']:g}"
    words = " ".join(filter(None, (value, said["Label"], f"({one_line(said['Name'])})" if said["Name"] else "")))
    return f"{words}: {one_line(said['Explanation'])}" if said["Explanation"] else words


def _calls_text(calls: Sequence[Row]) -> str:
    models: dict[str, int] = {}
    for call in calls:
        name = one_line(call["Model"]) or "a model"
        models[name] = models.get(name, 0) + 1
    return ", ".join(f"{plural(times, 'call')} of {name}" for name, times in models.items())


def _steps_table(tree: EpisodeTree, *, calls: bool, fancy: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim", expand=True)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("step", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, min_width=BAR_WIDTH)
    table.add_column("tokens", justify="right", no_wrap=True)
    writer = _TreeWriter(tree, table, calls=calls, fancy=fancy)
    tops = tree.children().get("", [])
    called = tree.calls_below().get("", [])
    for segment in tree.segments or [{"Segment": 0}]:
        if segment["Segment"]:
            table.add_row("", Text(f"resumed {local_time(segment['StartTime']):%Y-%m-%d %H:%M:%S}", style="bold"))
        here = [[row for row in rows if row["Segment"] == segment["Segment"]] for rows in (tops, called)]
        writer.write(here[0], here[1], "")
    writer.write_sub_agents("", "")
    return table


class _TreeWriter:
    """Adds steps to the table, those below a step behind it and further in."""

    def __init__(self, tree: EpisodeTree, table: Table, *, calls: bool, fancy: bool) -> None:
        self._tree = tree
        self._table = table
        self._fancy = fancy
        self._unfolded = calls
        self._below = tree.children()
        self._called = tree.calls_below()
        self._number = 0
        self._spans = {
            segment["Segment"]: (segment["StartTime"], max(segment["EndTime"], _last_end(tree.steps, segment)))
            for segment in tree.segments
        }

    def write(self, steps: Sequence[Row], calls: Sequence[Row], indent: str) -> None:
        rows = sorted((*steps, *calls), key=lambda row: row["StartTime"]) if self._unfolded and calls else steps
        for position, step in enumerate(rows):
            last = position == len(rows) - 1 and (self._unfolded or not calls or not indent)
            branch, inner = self._guides(last=last)
            is_call = "Model" in step
            self._number += not is_call
            number = "" if is_call else str(step["StepIndex"] or self._number)
            self._line(number, Text(indent + branch, style="dim"), step)
            if is_call:
                continue
            for text in _below_title(step):
                # Side by side, so that a long message is broken beside the guide, not below it.
                line = Table.grid()
                line.add_column(no_wrap=True)
                line.add_column()
                line.add_row(Text(indent + inner, style="dim"), text)
                self._table.add_row("", line)
            self.write_sub_agents(step["SpanId"], indent + inner)
            self.write(self._below.get(step["SpanId"], []), self._called.get(step["SpanId"], []), indent + inner)
        # At the top the head says it.
        if calls and indent and not self._unfolded:
            self._table.add_row("", Text(f"{indent}{self._guides(last=True)[0]}{_calls_text(calls)}", style="dim"))

    def _line(self, number: str, branch: Text, row: Row) -> None:
        ok, colour = _SUCCESS[row["Success"]]
        tokens = row["InputTokens"] + row["OutputTokens"]
        title = _call_title(row) if "Model" in row else _title(row)
        self._table.add_row(
            number, branch.append_text(title), Text(ok, style=colour), duration(row["DurationNs"]),
            Text(self._bar(row), style=colour or "green"), count(tokens) if tokens else "",
        )  # fmt: skip

    def write_sub_agents(self, span_id: str, indent: str) -> None:
        for row in self._tree.sub_agents.get(span_id, ()):
            arrow = "→ " if self._fancy else "> "
            text = Text(f"{indent}{arrow}", style="dim")
            text.append(short_id(row["EpisodeId"]), style="cyan").append(f" {one_line(row['AgentName'])}".rstrip())
            text.append(f": {one_line(row['Task'])}", style="default")
            self._table.add_row("", text, outcome_text(row["Outcome"]), duration(row["DurationNs"]))

    def _guides(self, *, last: bool) -> tuple[str, str]:
        if self._fancy:
            return ("└─ ", "   ") if last else ("├─ ", "│  ")
        return ("`- ", "   ") if last else ("|- ", "|  ")

    def _bar(self, step: Row) -> str:
        start, end = self._spans.get(step["Segment"], (step["StartTime"], step["StartTime"]))
        return bar(step["StartTime"] - start, step["DurationNs"], end - start, fancy=self._fancy)


def _last_end(steps: Sequence[Row], segment: Row) -> int:
    ends = [step["StartTime"] + step["DurationNs"] for step in steps if step["Segment"] == segment["Segment"]]
    return int(max(ends, default=segment["StartTime"]))


def bar(offset: int, length: int, total: int, *, fancy: bool = True) -> str:
    """Return a bar that shows when something happened within ``total``; what happened is never invisible."""
    if total <= 0 or length <= 0:
        return ""
    scale = BAR_WIDTH / total
    blanks = min(int(max(0.0, offset * scale)), BAR_WIDTH - 1)
    # In eighths of a character, at least one and not past the end.
    eighths = min(max(1, round(length * scale * 8)), (BAR_WIDTH - blanks) * 8)
    if not fancy:
        return " " * blanks + "#" * max(1, round(eighths / 8))
    whole, rest = divmod(eighths, 8)
    return " " * blanks + "█" * whole + (_EIGHTHS[rest] if rest else "")


def _call_title(call: Row) -> Text:
    title = Text("model ", style="dim").append(one_line(call["Model"]) or "?", style="bold not dim")
    about = (call["Provider"], call["FinishReason"], dollars(call["Cost"]))
    return title.append("  " + ", ".join(one_line(text) for text in about if text), style="dim")


def _title(step: Row) -> Text:
    tool, action = one_line(step["Tool"]), one_line(step["Action"])
    word = _KIND_WORDS.get(step["Kind"], "")
    title = Text(f"{word} " if word else "", style="default")
    if tool:
        title.append(tool, style="bold").append("  ")
    if action != tool:
        title.append(action)
    if step["BatchCount"]:
        title.append(f" ({step['BatchCount']} in one)")
    return title


def _below_title(step: Row) -> Iterator[Text]:
    if step["Success"] is False:
        error = one_line(step["ErrorMessage"]) or one_line(step["Observation"]) or "no reason given"
        kind = "" if step["ErrorType"] in ("", "tool_error", "_OTHER") else f"{one_line(step['ErrorType'])}: "
        yield Text(error if error.startswith(kind) else kind + error, style="red", no_wrap=False)
    elif step["Observation"]:
        yield Text(one_line(step["Observation"]), style="dim", no_wrap=True, overflow="ellipsis")
