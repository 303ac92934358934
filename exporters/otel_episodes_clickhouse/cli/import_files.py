"""Bringing in what was recorded elsewhere: ``import``."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from otel_episodes import UsageError
from otel_episodes_clickhouse.cli import output
from otel_episodes_clickhouse.cli.choices import Agent, FileFormat, Rule, SessionPart
from otel_episodes_clickhouse.cli.opening import writing
from otel_episodes_clickhouse.cli.options import Dsn, Json, add

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_episodes_clickhouse.importers.dispatch import Problem
    from otel_episodes_clickhouse.importers.load import Tally
    from otel_episodes_clickhouse.importers.options import ImportOptions
    from otel_episodes_clickhouse.importers.sources import Source

_LONG = 1_000_000
_MOST_KEPT = 1000


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    add(app, import_, "import")


_Paths = Annotated[
    list[Path] | None,
    typer.Argument(metavar="FILE…", help="Files, directories, archives; - is standard input.", show_default=False),
]
_Format = Annotated[FileFormat, typer.Option("--format", help="auto looks at each file and record.")]
_From = Annotated[
    Agent | None, typer.Option("--from", help="Find the sessions of an agent where it keeps them.", show_default=False)
]
_Task = Annotated[
    str,
    typer.Option(
        metavar="FIELD", help="Field with the task. Default: task, instruction, prompt, or what the user said first."
    ),
]
_Reward = Annotated[
    str, typer.Option(metavar="FIELD", help="Field with the score. Default: reward or score, if there.")
]
_SuccessAt = Annotated[float, typer.Option(help="This score or more is a success, less a failure.")]
_Agent = Annotated[str, typer.Option(help="Who ran. Default: what the file says.")]
_Id = Annotated[
    str,
    typer.Option("--id", metavar="FIELD", help="Field with the episode's id. Default: made from the session's own."),
]


_Rules = Annotated[
    list[Rule] | None,
    typer.Option(
        help="Guess how a session ended by its last prompt, its commits, its last test or build; may be repeated.",
        show_default=False,
    ),
]


_Per = Annotated[
    SessionPart | None,
    typer.Option("--per", help="An episode for each prompt of a session, instead of one for all.", show_default=False),
]


def import_(
    files: _Paths = None,
    format_: _Format = "auto",
    from_: _From = None,
    task: _Task = "",
    reward: _Reward = "",
    success_at: _SuccessAt = 1.0,
    agent: _Agent = "",
    id_: _Id = "",
    rule: _Rules = None,
    per: _Per = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Import runs recorded elsewhere.

    Sessions of coding agents (Claude Code, Codex, Gemini CLI, Qwen Code, OpenHands, SWE-agent,
    mini-swe-agent), logs of benchmarks (Harbor, Inspect AI, tau2-bench), transcripts in the form
    of any model's API, and OTLP-JSON. The format is told by what is in a file, not by its name.

    Importing again brings what is new and changes nothing else. A run whose end nobody told has
    the outcome "unknown". Runs without times get the file's own, marked episode.time.synthetic.
    What cannot be read is reported with its line; the rest is imported, and the exit code is 1.

    Examples:
      otel-episodes import --from claude-code
      otel-episodes import ~/logs/ runs.jsonl.gz
      otel-episodes import runs.jsonl --task question --reward result.score --success-at 0.8
      curl -s https://example.org/runs.jsonl | otel-episodes import -
    """
    from otel_episodes_clickhouse.importers import registry  # noqa: PLC0415  # with the SDK
    from otel_episodes_clickhouse.importers.options import ImportOptions  # noqa: PLC0415  # likewise

    if success_at - success_at != 0:
        raise UsageError("--success-at must be a finite number")
    named = "gemini-cli" if from_ == "gemini" else from_
    paths = [*(files or []), *(registry.homes(named) if named else [])]
    if not paths:
        raise UsageError("name files or directories to import, or --from claude-code for the sessions of an agent")
    options = ImportOptions(named or format_, task, reward, success_at, agent, id_, tuple(rule or ()), per or "")
    _run(paths, options, dsn, json=json)


def _run(paths: list[Path], options: ImportOptions, dsn: str | None, *, json: bool) -> None:
    from otel_episodes_clickhouse.importers import dispatch, load, sources  # noqa: PLC0415  # with the SDK

    # All of a pipe before the store is opened: nobody else can use it meanwhile.
    pipes = dispatch.read_pipes(sources.checked(paths))
    shown = _Shown(show=not json)
    with writing(dsn) as store, _progress(paths) as (advance, line):
        shown.line = line
        reading = dispatch.Reading(options, shown.problem, advance)
        tally = load.Import(store, reading).run(dispatch.found_under(paths, pipes))
    shown.end()
    if json:
        output.json({**vars(tally), "problems": shown.found})
    else:
        output.line(_summary(tally))
    if tally.bad:
        raise typer.Exit(1)


class _Shown:
    """The problems of an import, each kind once."""

    def __init__(self, *, show: bool) -> None:
        self.found: list[dict[str, object]] = []
        self.line: Callable[[str], None] = output.note
        self._show = show
        self._kinds: Counter[str] = Counter()

    def problem(self, problem: Problem) -> None:
        """Show a problem unless the same was shown before."""
        if len(self.found) < _MOST_KEPT:
            self.found.append({"file": problem.source, "line": problem.line, "reason": problem.reason})
        # Places in a text differ where the fault is the same.
        kind = problem.reason.partition(": line ")[0].partition(" (char ")[0]
        self._kinds[kind] += 1
        if self._kinds[kind] == 1:
            at = f"{problem.source}:{problem.line}" if problem.line else problem.source
            self.line(output.one_line(f"{at}: {problem.reason}"))

    def end(self) -> None:
        """Say how often each kind came again."""
        for kind, count in self._kinds.items():
            if count > 1:
                output.note(output.one_line(f"and {output.plural(count - 1, 'more record')}: {kind}"))


@contextmanager
def _progress(paths: list[Path]) -> Iterator[tuple[Callable[[Source, int], None], Callable[[str], None]]]:
    """Show how far long files have been read, on a terminal only."""
    long = any(path.is_dir() or (path.is_file() and path.stat().st_size >= _LONG) for path in paths)
    if not long or not sys.stderr.isatty():
        yield (lambda _source, _bytes: None), output.note
        return
    from rich import progress  # noqa: PLC0415  # only for long files

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=output.console(stderr=True), transient=True) as bar:
        task = bar.add_task("")

        def advance(source: Source, done: int) -> None:
            bar.update(task, description=output.one_line(Path(source.name).name), total=source.size, completed=done)

        yield advance, bar.console.print


def _summary(tally: Tally) -> str:
    parts = [output.plural(tally.episodes, "episode"), output.plural(tally.steps, "step")]
    parts += [
        output.plural(count, what)
        for count, what in (
            (tally.model_calls, "model call"),
            (tally.agents, "foreign agent"),
            (tally.spans, "other span"),
        )
        if count
    ]
    text = f"imported {', '.join(parts)}"
    if tally.unknown:
        text += f"; how {tally.unknown} of them ended is unknown" if tally.episodes > 1 else "; how it ended is unknown"
    if tally.episodes_updated:
        text += f"; grown: {output.plural(tally.episodes_updated, 'episode')}"
    if tally.spans_already_there:
        episodes = output.plural(tally.episodes_already_there, "episode")
        text += f"; already there: {episodes} ({output.plural(tally.spans_already_there, 'span')}), left as they are"
    if tally.forgotten:
        text += f"; {output.plural(tally.forgotten, 'episode')} left out, which you had forgotten"
    if tally.skipped:
        text += f"; {output.plural(tally.skipped, 'record')} of other kinds skipped"
    return f"{text}; {output.plural(tally.bad, 'bad record')}" if tally.bad else text
