"""What an agent runs on each event: notes the transcript and leaves. The standard library alone, and little of it.

It prints nothing, waits for nobody and never fails: a hook that does would stop the agent.
"""

import fcntl
import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_AT_A_PROMPT = ("UserPromptSubmit", "BeforeAgent")
_LONGEST_PROMPT = 20_000


def main(arguments: list[str]) -> None:
    """Note the transcript that an event on standard input names, and start what brings it in unless it runs already.

    With the setting ``advice=on`` also tell the agent what there is to tell, which is all that is ever printed.
    """
    event = json.load(sys.stdin)
    agent, home, package, *settings = arguments
    said = dict(setting.split("=", 1) for setting in settings)
    advised = said.pop("advice", "") == "on"
    if advised and isinstance(event.get("cwd"), str):
        said["folder"] = event["cwd"]
    _bring(event, agent, home, package, said)
    if advised:
        _advise(event, agent, home, package)


def _bring(event: "dict[str, Any]", agent: str, home: str, package: str, said: "dict[str, str]") -> None:
    transcript = event.get("transcript_path")
    if not isinstance(transcript, str) or not os.path.isfile(transcript):  # noqa: PTH113  # pathlib costs 5 ms
        return
    if event.get("hook_event_name") == "SessionEnd" and isinstance(event.get("reason"), str):
        said["end"] = event["reason"]
    os.makedirs(home, mode=0o700, exist_ok=True)  # noqa: PTH103  # likewise
    note = json.dumps([agent, transcript, said]) + "\n"
    queue = os.open(os.path.join(home, "queue"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)  # noqa: PTH118  # likewise
    os.write(queue, note.encode())
    os.close(queue)
    # Whoever brings in looks for notes once more after it has let go of the lock, so this one is not missed.
    lock = os.open(os.path.join(home, "lock"), os.O_RDWR | os.O_CREAT, 0o600)  # noqa: PTH118  # likewise
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    if os.fork() == 0:
        _become_bring(home, package, lock)
    os.close(lock)


def _become_bring(home: str, package: str, lock: int) -> None:
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    # From now on the lock is the other program's: it goes when that lets go of it, or dies.
    os.set_inheritable(lock, True)  # noqa: FBT003  # the function's own
    _become("bring", package, home, str(lock))


def _become(module: str, package: str, home: str, *arguments: str) -> None:
    environment = {**_settings(home), **os.environ, "OTEL_EPISODES_HOME": os.path.dirname(home)}  # noqa: PTH120  # likewise
    if package:
        environment["PYTHONPATH"] = package
    program = [sys.executable, "-m", f"otel_episodes_clickhouse.hooks.{module}", home, *arguments]
    os.execve(sys.executable, program, environment)  # noqa: S606  # this interpreter, with our own module


def _advise(event: "dict[str, Any]", agent: str, home: str, package: str) -> None:
    """Print what the agent is to be told at this event, if anything."""
    name = event.get("hook_event_name")
    if name in _AT_A_PROMPT:
        asked = {key: event.get(key) for key in ("session_id", "cwd", "hook_event_name")}
        asked["prompt"] = str(event.get("prompt") or "")[:_LONGEST_PROMPT]
        reading, writing = os.pipe()
        os.write(writing, json.dumps(asked).encode()[:60_000])
        os.close(writing)
        os.dup2(reading, 0)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.makedirs(home, mode=0o700, exist_ok=True)  # noqa: PTH103  # likewise
        _become("brief", package, home, agent)
    elif agent == "claude-code" and (name == "PreToolUse" or "error" in event):
        # Beside this file, whatever its package would import.
        sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120  # likewise
        from at_tool import told  # type: ignore[import-not-found]  # noqa: PLC0415  # only where it is switched on

        said = told(event, home)
        if said is not None:
            sys.stdout.write(json.dumps(said))
            sys.stdout.flush()


def _settings(home: str) -> dict[str, str]:
    """Return the variables that were set when the hooks were installed: agents keep OTEL_* from their hooks."""
    try:
        with open(os.path.join(home, "environment.json"), encoding="utf-8") as file:  # noqa: PTH118, PTH123  # likewise
            return dict(json.load(file))
    except (OSError, ValueError):
        return {}


if __name__ == "__main__":
    # The boundary: whatever it is, the agent goes on. contextlib would cost as much as all of the above.
    try:
        main(sys.argv[1:])
    finally:
        os._exit(0)
