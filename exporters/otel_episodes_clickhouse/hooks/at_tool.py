"""What an agent is told at a tool: a warning before a call that usually fails, what put a failure right after it.

The standard library alone, and little of it: this runs before and after every call. What it knows is in a file that
whoever has the store open leaves (`cached`); what it showed, or held back, it appends to an inbox, of which `bring`
makes spans. It says nothing twice in a session.
"""

import json
import os
import re
import sys
import time
from hashlib import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST_BYTES = 200_000
# As in `advice.arms`; a test compares them.
_ITEM_LEFT_OUT = 0.1
_RANGE = 2**64
_OLDEST_SECONDS = 30 * 86400
# Of a transcript, what may have been seen lately.
_TAIL_BYTES = 200_000
_LONGEST_ERROR = 256


def told(event: "dict[str, Any]", home: str) -> "dict[str, Any] | None":
    """Return what the agent is to be told, as its hooks want it; None where there is nothing to say."""
    known = _cache(home, str(event.get("cwd") or ""))
    session = str(event.get("session_id") or "")
    tool = str(event.get("tool_name") or "")
    if known is None or not session or not tool:
        return None
    failed = "error" in event
    found = _recoveries(known, tool, event) if failed else _warnings(known, tool, event, home)
    place = "recovery" if failed else "warning"
    items = [item for item in found if _is_new(home, session, item["id"])]
    if not items:
        return None
    policy, unit = known["policy"], session
    shown = [item for item in items if not policy or _draw(policy, f"{unit}\0{item['id']}") >= _ITEM_LEFT_OUT]
    is_shown = not policy or _draw(policy, unit) < 1 - known["held"]
    _note(home, {
        "time": time.time_ns(), "session": session, "place": place, "arm": "shown" if is_shown else "held",
        "share": 1 - known["held"] if policy else 1.0, "policy": policy, "domain": known["domain"],
        "tenant": known["tenant"], "unit": unit, "items": [item["id"] for item in items],
        "shown": [item["id"] for item in shown], "text": "\n".join(item["text"] for item in shown),
    })  # fmt: skip
    if not is_shown or not shown:
        return None
    said = "\n".join(f"{item['text']} (otel-episodes, {item['id']})" for item in shown)
    return {"hookSpecificOutput": {"hookEventName": event["hook_event_name"], "additionalContext": said}}


def cache_of(home: str, folder: str) -> str:
    """Return the file of what is known of the work in a folder."""
    return f"{home}/advice/{sha256(folder.encode('utf-8', 'replace')).hexdigest()[:32]}.json"


def session_of(home: str, session: str) -> str:
    """Return the directory in which is kept what a session was asked and told."""
    return f"{home}/advice/sessions/{sha256(session.encode('utf-8', 'replace')).hexdigest()[:32]}"


def _cache(home: str, folder: str) -> "dict[str, Any] | None":
    path = cache_of(home, folder)
    try:
        status = os.stat(path)  # noqa: PTH116  # pathlib costs 5 ms
        if status.st_size > MOST_BYTES or time.time() - status.st_mtime > _OLDEST_SECONDS:
            return None
        with open(path, encoding="utf-8") as file:  # noqa: PTH123  # likewise
            known = json.load(file)
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) else None


def _warnings(known: "dict[str, Any]", tool: str, event: "dict[str, Any]", home: str) -> "list[dict[str, Any]]":
    found = known["warnings"].get(tool, [])
    if any(item["template"] for item in found):
        made = _template(event, home)
        found = [item for item in found if item["template"] in ("", made)]
    return list(found)


def _recoveries(known: "dict[str, Any]", tool: str, event: "dict[str, Any]") -> "list[dict[str, Any]]":
    found = known["recoveries"].get(tool)
    if not found:
        return []
    shapes = _module("shapes", os.path.dirname(__file__), "..", "advice")  # noqa: PTH120  # likewise
    return list(found.get(shapes.error_shape(" ".join(str(event["error"]).split())[:_LONGEST_ERROR]), []))


def _template(event: "dict[str, Any]", home: str) -> str:
    """Return what kind of call this is, by the prompt and what the transcript shows of late."""
    arguments = event.get("tool_input")
    if not isinstance(arguments, dict):
        return ""
    templates = _module("_template", _folder_of("otel_episodes"))
    task = _read(f"{session_of(home, str(event['session_id']))}/task")
    seen = _read(str(event.get("transcript_path") or "")).replace("\\n", " ")
    return str(templates.template(arguments, told=templates.Words(task), seen=templates.Words(task, seen)))


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:  # noqa: PTH123  # likewise
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _folder_of(package: str) -> str:
    """Return where a package of ours is: beside this one, or, in its repository, beside the folder of this one."""
    above = os.path.abspath(f"{os.path.dirname(__file__)}/../..")  # noqa: PTH100, PTH120  # likewise
    return next(place for place in (f"{above}/{package}", f"{above}/../{package}") if os.path.isdir(place))  # noqa: PTH112


def _module(name: str, *folder: str) -> "Any":
    """Import one module of ours by its file: its package imports far more."""
    sys.path.insert(0, "/".join(folder))
    try:
        return __import__(name)
    finally:
        del sys.path[0]


def _is_new(home: str, session: str, item: str) -> bool:
    """Return True the first time in a session, and remember it."""
    directory = session_of(home, session)
    os.makedirs(directory, mode=0o700, exist_ok=True)  # noqa: PTH103  # likewise
    if not re.fullmatch("[0-9a-f]+", item):
        return False
    try:
        os.close(os.open(f"{directory}/{item}", os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    return True


def _draw(policy: str, unit: str) -> float:
    return int.from_bytes(sha256(f"{policy}\0{unit}".encode("utf-8", "replace")).digest()[:8], "big") / _RANGE


def _note(home: str, said: "dict[str, Any]") -> None:
    inbox = os.open(f"{home}/inbox", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(inbox, json.dumps(said).encode() + b"\n")
    finally:
        os.close(inbox)
