"""All readers, and which one a source is for.

The order matters where one format looks like another with more in it: the more telling shape is asked first.
"""

from __future__ import annotations

import os
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_episodes import UsageError
from otel_episodes_clickhouse.importers.readers import (
    anthropic,
    atif,
    chat,
    claude_code,
    codex,
    gemini,
    inspect_ai,
    langchain,
    mini_swe_agent,
    openai_responses,
    openhands,
    otlp_json,
    qwen_code,
    sharegpt,
    swe_agent,
    tau2_bench,
    vercel,
)
from otel_episodes_clickhouse.importers.reading import LOOKED_AT, recognised
from otel_episodes_clickhouse.importers.run import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_episodes_clickhouse.importers.documents import Record
    from otel_episodes_clickhouse.importers.reading import Reader

READERS: Final[tuple[Reader, ...]] = (
    claude_code.READER,
    codex.READER,
    gemini.CLI,
    qwen_code.READER,
    otlp_json.READER,
    atif.READER,
    inspect_ai.READER,
    tau2_bench.READER,
    swe_agent.READER,
    openhands.READER,
    mini_swe_agent.READER,
    openai_responses.READER,
    anthropic.READER,
    vercel.READER,
    gemini.READER,
    langchain.READER,
    sharegpt.READER,
    swe_agent.ROWS,
    chat.READER,
)

FORMATS: Final = ("auto", *(reader.name for reader in READERS))
_MOST_NAMED: Final = 200


def readers(format_: str) -> tuple[Reader, ...]:
    """Return the readers to ask: all, or the one the user named."""
    return READERS if format_ == "auto" else tuple(reader for reader in READERS if reader.name == format_)


def of_session(records: Iterator[Record], format_: str) -> tuple[Reader | None, Iterator[Record]]:
    """Return the reader of a file whose records are one session, None where each stands for itself; and all records."""
    first = list(islice(records, LOOKED_AT))
    everything = chain(first, records)
    for reader in readers(format_):
        told = [recognised(reader.is_session, record.value) for record in first if not record.problem]
        if told and (all(told) if reader.every else any(told)):
            return reader, everything
    return None, everything


def of_record(value: Any, format_: str) -> Reader:
    """Return the reader of a record; raise `RecordError` with what it is where it is none of those known."""
    for reader in readers(format_):
        if recognised(reader.is_record, value):
            return reader
    if format_ != "auto":
        raise RecordError(f"not in the form of {format_}: {described(value)}")
    raise RecordError(f"not in the form of any run: {described(value)}")


def described(value: Any) -> str:
    """Return in a few words what a record is."""
    if isinstance(value, dict):
        return f"an object with {', '.join(map(str, value)) or 'nothing'}"[:_MOST_NAMED]
    if isinstance(value, list):
        return (
            f"a list of {len(value)}, the first of them {described(value[0])}"[:_MOST_NAMED]
            if value
            else "an empty list"
        )
    return f"a {type(value).__name__}"


def is_one_run(directory: Path) -> bool:
    """Return True if the files of a directory are one run together."""
    return any(reader.is_directory(directory) for reader in READERS)


def homes(agent: str) -> list[Path]:
    """Return the directories in which an agent keeps its sessions.

    Raises:
        UsageError: no agent of that name keeps any, or there are none here.
    """
    known = {reader.name: reader.homes for reader in READERS if reader.homes}
    if agent not in known:
        raise UsageError(f"--from={agent!r} is not known: use one of {', '.join(known)}")
    found = list(dict.fromkeys(path for pattern in known[agent] for path in _matching(pattern)))
    if not found:
        looked = ", ".join(
            pattern.replace(":", "/", 1) if ":" in pattern else f"~/{pattern}" for pattern in known[agent]
        )
        raise UsageError(f"no sessions of {agent} here: looked in {looked}")
    return found


def _matching(pattern: str) -> list[Path]:
    variable, colon, rest = pattern.partition(":")
    if colon and not os.environ.get(variable):
        return []
    base = Path(os.environ[variable]) if colon else Path.home()
    return sorted(path for path in base.glob(rest if colon else pattern) if path.is_dir())
