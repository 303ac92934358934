"""docs/reference/cli.md is what ``--help`` says.

``python tests/support/cli_page.py`` writes the page.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer.main
from click.testing import CliRunner

from otel_episodes_clickhouse.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "cli.md"
HEAD = """# Command line

Generated from `--help` by `python tests/support/cli_page.py`. How the commands go together is in the how-to pages.

- `--dsn` and `--json` may stand before or after the command. Where episodes are kept is told by `--dsn`, else by
  `OTEL_EPISODES_DSN`, else it is an embedded store in your data directory.
- Lists are printed as JSON with `--json` and as CSV with `--csv`, everything else on stdout is for people. Problems are
  one line on stderr.
- The exit code is 0 when it is done, 1 when it could not be done (nothing of that id, no answer from the server), 2 for
  wrong use.
- `--since` takes what `30m`, `2h`, `7d`, `2w` ago was, or a date in your own time zone.
"""


def commands(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Return the path of every command, groups before their own commands."""
    yield path
    for name, below in sorted(getattr(command, "commands", {}).items()):
        yield from commands(below, (*path, name))


def page() -> str:
    """Return the page as the commands are now."""
    root = typer.main.get_command(app)
    runner = CliRunner(env={"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"})
    sections = []
    for path in commands(root):
        helped = runner.invoke(root, [*path, "--help"], prog_name="otel-episodes", terminal_width=100)
        assert helped.exit_code == 0, (path, helped.output)
        lines = "\n".join(line.rstrip() for line in helped.output.strip().splitlines())
        sections.append(f"## {' '.join(('otel-episodes', *path))}\n\n```text\n{lines}\n```\n")
    return "\n".join([HEAD, *sections])


if __name__ == "__main__":
    os.environ.pop("OTEL_EPISODES_DSN", None)
    PAGE.write_text(page(), encoding="utf-8")
