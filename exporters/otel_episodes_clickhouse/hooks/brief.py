"""What an agent is told at the first prompt of a session: the brief, asked of the store.

It prints what the agent adds to the prompt, or nothing; it waits for a store that another process holds a moment only,
and never fails.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any, Final

from otel_episodes_clickhouse import config
from otel_episodes_clickhouse.advice.advise import ask
from otel_episodes_clickhouse.config import Target
from otel_episodes_clickhouse.hooks import at_tool, cached
from otel_episodes_clickhouse.importers.folders import domain_of
from otel_episodes_clickhouse.importers.run_rows import RunIds
from otel_episodes_clickhouse.store.store import Store

_WAIT_SECONDS: Final = 2.0
# More than 10,000 characters agents cut without a word.
_MOST_CHARACTERS: Final = 8000

logger = logging.getLogger(__name__)


def brief(home: Path, agent: str, event: dict[str, Any]) -> str:
    """Return what is sure enough to be told about the task that a session begins with; empty after its first prompt."""
    session, folder, task = (str(event.get(name) or "") for name in ("session_id", "cwd", "prompt"))
    place = Path(at_tool.session_of(str(home), session))
    if not session or not task.strip() or (place / "task").exists() or not config.gives_advice():
        return ""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    (place / "task").touch(mode=0o600)
    (place / "task").write_text(task, encoding="utf-8")
    run = {
        "episode": RunIds(agent, session).trace_id, "conversation": session, "domain": domain_of(folder), "task": task,
        "tools": [], "failed": [], "ended": False,
    }  # fmt: skip
    with Store.open(Target.resolve(), wait_seconds=_WAIT_SECONDS) as store:
        store.prepare()
        cached.refresh(store, home, folder)
        text = ask(store, run).brief()
    return f"What earlier runs here show:\n{text}"[:_MOST_CHARACTERS] if text else ""


def main(home: Path, agent: str) -> None:
    """Answer the event on standard input."""
    logging.basicConfig(filename=home / "log", level=logging.WARNING, format="%(asctime)s %(message)s")
    text = ""
    try:
        event = json.load(sys.stdin)
        text = brief(home, agent, event)
    except Exception as error:  # noqa: BLE001  # the boundary: whatever it is, the agent goes on
        logger.warning("no brief: %s", error)
    if text:
        said = {"hookEventName": event["hook_event_name"], "additionalContext": text}
        print(json.dumps({"hookSpecificOutput": said}))  # noqa: T201  # the agent reads it


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
