"""What the kernel lets a command reach, where the command has its process for itself."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from otel_episodes_clickhouse.cli import output
from otel_episodes_clickhouse.cli.opening import LATELY, reading, recorded
from otel_episodes_clickhouse.config import Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_episodes_clickhouse.store.confined_sql import Result

_one_command: list[bool] = []


def one_command() -> None:
    """Say that this process runs one command and ends: it may then give up rights for good."""
    _one_command.append(True)


def confine(dsn: str | None) -> None:
    """Leave this process the embedded store alone, before a formula of somebody's is run in it.

    Where another process serves the store, the formula is run behind that one's walls.
    """
    target = Target.resolve(dsn)
    if _one_command and target.path is not None and target.path.is_dir() and "chdb" not in sys.modules:
        from otel_episodes_clickhouse.store.confined_sql import confine_here  # noqa: PLC0415  # not for the other commands
        from otel_episodes_clickhouse.store.served import is_served  # noqa: PLC0415  # likewise

        if not is_served(target.path):
            confine_here(target)


def ask(dsn: str | None, statement: str, parameters: Mapping[str, Any]) -> Result:
    """Return the answer to a question, with everything that has been recorded so far."""
    target = recorded(dsn)
    if not (_one_command and target.path):
        # A server has its own walls, and one engine that is kept for many commands cannot be in two processes.
        with reading(dsn) as store:
            return store.sql_here(statement, parameters)
    from otel_episodes_clickhouse.store.confined_sql import ask as ask_apart  # noqa: PLC0415  # not for the other commands
    from otel_episodes_clickhouse.store.served import is_served  # noqa: PLC0415  # likewise

    if is_served(target.path):
        with reading(dsn) as store:
            # Should it have ended in between, the store is this process's, and the question asked apart.
            return store.sql(statement, parameters)
    answer = ask_apart(target, statement, parameters, bring_in=True)
    if answer.problem:
        output.problem(LATELY.format(answer.problem))
    return answer.result
