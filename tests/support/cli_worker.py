"""Runs one command line after the other in one process: starting Python and the engine takes a second each time.

A request is a line of JSON on stdin: the arguments and what to set in the environment. So is the answer: the exit
code, and what was printed on stdout and stderr.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from otel_episodes_clickhouse.cli.app import run


def answer(arguments: list[str], environment: dict[str, str], inherited: dict[str, str]) -> dict[str, object]:
    """Run one command with its output caught at the level of the operating system."""
    os.environ.clear()
    os.environ.update({**inherited, **environment})
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        kept = os.dup(1), os.dup(2)
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        try:
            code = run(arguments)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            os.close(kept[0])
            os.close(kept[1])
        out.seek(0)
        err.seek(0)
        return {"code": code, "out": out.read().decode(), "err": err.read().decode()}


def main() -> None:
    """Answer requests until there are no more."""
    inherited = dict(os.environ)
    store = Path(inherited["OTEL_EPISODES_HOME"]) / "chdb"
    kept: object = None
    for line in sys.stdin:
        arguments, environment = json.loads(line)
        print(json.dumps(answer(arguments, environment, inherited)), flush=True)
        if kept is None and "chdb" in sys.modules and store.is_dir():
            # One connection of our own: while there is one, the engine stays up and another is a matter of 10 ms.
            kept = sys.modules["chdb"].connect(str(store))


main()
