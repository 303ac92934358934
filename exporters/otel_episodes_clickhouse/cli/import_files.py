"""Bringing in files: ``import``."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from otel_episodes import UsageError
from otel_episodes_clickhouse.cli import output
from otel_episodes_clickhouse.cli.choices import FileFormat
from otel_episodes_clickhouse.cli.opening import writing
from otel_episodes_clickhouse.cli.options import Dsn, Json, add

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_episodes_clickhouse.importers.load import Problem, Tally
    from otel_episodes_clickhouse.importers.options import ImportOptions
    from otel_episodes_clickhouse.store.store import Store

_LONG = 1_000_000
_MOST_KEPT = 1000


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    add(app, import_, "import")


_Files = Annotated[list[Path], typer.Argument(metavar="FILE…", help="Files to read.")]
_Format = Annotated[FileFormat, typer.Option("--format", help="auto looks at each record.")]
_Task = Annotated[
    str,
    typer.Option(
        metavar="FIELD", help="Field with the task. Default: task, instruction, prompt, or what the user said first."
    ),
]
_Reward = Annotated[
    str, typer.Option(metavar="FIELD", help="Field with the score. Default: reward or score, if there.")
]
_SuccessAt = Annotated[float, typer.Option(help="This reward or more is a success, less a failure.")]
_Agent = Annotated[str, typer.Option(help="Who ran. Default: what the file says.")]
_Id = Annotated[
    str,
    typer.Option(
        "--id", metavar="FIELD", help="Field with the episode's id, one for each run. Default: made from the content."
    ),
]


def import_(
    files: _Files,
    format_: _Format = "auto",
    task: _Task = "",
    reward: _Reward = "",
    success_at: _SuccessAt = 1.0,
    agent: _Agent = "",
    id_: _Id = "",
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Import runs recorded elsewhere.

    Importing the same run twice changes nothing.

    chat       OpenAI-style messages with tool_calls: JSON Lines, or a JSON array or object.
               A tool's answer that starts with "Error", or is JSON with an error, is a failed step.
    atif       Agent Trajectory Interchange Format 1.0 to 1.8.
    otlp-json  what the OpenTelemetry collector's file exporter writes.

    Fields can be nested: --reward result.score. Runs without times get the file's own and are
    marked with episode.time.synthetic. A record that cannot be read is reported with its line;
    the rest is imported, and the exit code is 1.

    Examples:
      otel-episodes import runs.jsonl
      otel-episodes import runs.jsonl --task question --reward score --success-at 0.8
      otel-episodes import trajectory.json --agent my-agent
      otel-episodes import /var/lib/otelcol/traces.json --format otlp-json
    """
    from otel_episodes_clickhouse.importers.load import Tally  # noqa: PLC0415  # with the SDK
    from otel_episodes_clickhouse.importers.options import ImportOptions  # noqa: PLC0415  # likewise

    if success_at - success_at != 0:
        raise UsageError("--success-at must be a finite number")
    for path in files:
        if not path.exists() or path.is_dir():
            raise UsageError(f"{path} is {'a directory: name the files in it' if path.is_dir() else 'not there'}")
    options = ImportOptions(format_, task, reward, success_at, agent, id_)
    total, problems = Tally(), []
    with writing(dsn) as store:
        for path in files:
            tally, found = _import(store, path, options)
            total.add(tally)
            problems += found
    _report(total, problems, json=json)
    if total.bad:
        raise typer.Exit(1)


_Found = tuple[Path, int, str]


def _report(total: Tally, problems: list[_Found], *, json: bool) -> None:
    if json:
        found = [{"file": str(path), "line": line, "reason": reason} for path, line, reason in problems]
        output.json({**vars(total), "problems": found})
    else:
        output.line(_summary(total))


def _import(store: Store, path: Path, options: ImportOptions) -> tuple[Tally, list[_Found]]:
    from otel_episodes_clickhouse.importers.load import FileImport  # noqa: PLC0415  # with the SDK

    found: list[_Found] = []
    with _progress(path) as (advance, show):

        def report(problem: Problem) -> None:
            if len(found) < _MOST_KEPT:
                found.append((path, problem.line, problem.reason))
            show(f"{path}:{problem.line}: {output.one_line(problem.reason)}")

        return FileImport(store, path, options, report, advance).run(), found


@contextmanager
def _progress(path: Path) -> Iterator[tuple[Callable[[int], None], Callable[[str], None]]]:
    """Show how far a long file has been read, on a terminal only."""
    total = path.stat().st_size
    if total < _LONG or not sys.stderr.isatty():
        yield (lambda _bytes: None), output.note
        return
    from rich import progress  # noqa: PLC0415  # only for long files

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=output.console(stderr=True), transient=True) as bar:
        shown = bar.add_task(output.one_line(path.name), total=total)
        yield (lambda done: bar.update(shown, completed=done)), bar.console.print


def _summary(tally: Tally) -> str:
    parts = [output.plural(tally.episodes, "episode"), output.plural(tally.steps, "step")]
    if tally.spans:
        parts.append(output.plural(tally.spans, "other span"))
    text = f"imported {', '.join(parts)}"
    if tally.spans_already_there:
        episodes = output.plural(tally.episodes_already_there, "episode")
        text += f"; already there: {episodes} ({output.plural(tally.spans_already_there, 'span')}), left as they are"
    return f"{text}; {output.plural(tally.bad, 'bad record')}" if tally.bad else text
