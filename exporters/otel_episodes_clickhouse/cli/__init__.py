"""The command line, `otel-episodes`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit: 0 done, 1 could not, 2 wrong use."""
    if sys.argv[1:2] and sys.argv[1] in ("start", "step", "complete"):
        from otel_episodes_clickhouse.cli import quick  # noqa: PLC0415  # not for the others

        if quick.run(sys.argv[1:]):
            return
    try:
        from otel_episodes_clickhouse.cli import logs, walls  # noqa: PLC0415  # its packages may not be installed
        from otel_episodes_clickhouse.cli.app import run  # noqa: PLC0415  # likewise
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"otel-episodes: the command line needs more packages ({error.name} is missing): "
            "pip install 'otel-episodes[embedded]', or [clickhouse] to use a server only\n"
        )
        sys.exit(1)
    logs.to_stderr()
    walls.one_command()
    sys.exit(run())
