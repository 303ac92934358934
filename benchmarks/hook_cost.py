"""CPU of one hook call of a coding agent, beside the interpreter's own start.

    python benchmarks/hook_cost.py [CALLS]

Each is run in turn: the interpreter as the hook starts it, doing nothing; the recording hook with nobody bringing in
(it forks what brings in, which is not waited for and not counted); the same while one brings in already, as most calls
of a session find it; the same with advice, which warns before the call out of a file of nearly 200 KB. User and system
time of the process itself, by wait4; the median of the calls.
"""

from __future__ import annotations

import fcntl
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from otel_episodes_clickhouse.hooks import at_tool, relay

CALLS = int(sys.argv[1]) if len(sys.argv) > 1 else 60


def cpu_of(command: list[str], text: str) -> float:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process.stdin.write(text.encode())
    process.stdin.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    python = [sys.executable, "-S", "-E"]
    with tempfile.TemporaryDirectory() as place:
        home = Path(place) / "hooks"
        home.mkdir()
        stand_in = Path(place) / "stand-in" / "otel_episodes_clickhouse" / "hooks"
        stand_in.mkdir(parents=True)
        (stand_in.parent / "__init__.py").touch()
        (stand_in / "__init__.py").touch()
        (stand_in / "bring.py").touch()
        transcript = Path(place) / "session.jsonl"
        transcript.touch()
        event = json.dumps({
            "hook_event_name": "PostToolUse", "transcript_path": str(transcript), "tool_name": "Bash",
            "tool_input": {"command": "make test"}, "tool_response": {"stdout": "ok\n" * 2000},
        })  # fmt: skip
        record = [*python, relay.__file__, "claude-code", str(home), str(stand_in.parents[1])]
        advised = json.dumps({
            "hook_event_name": "PreToolUse", "transcript_path": str(transcript), "tool_name": "Bash", "cwd": place,
            "tool_input": {"command": "make test"},
        })  # fmt: skip
        known = {"domain": "d", "tenant": "", "policy": "p", "held": 0.2, "recoveries": {}, "warnings": {}}
        for number in range(100_000):
            name = "Bash" if not number else f"tool-{number}"
            known["warnings"][name] = [
                {"template": "", "id": f"{number:016x}", "text": "it failed in 5 of 6 runs " * 4}
            ]
            if number % 100 == 0 and len(json.dumps(known)) > at_tool.MOST_BYTES - 20_000:
                break
        cache = Path(at_tool.cache_of(str(home), place))
        cache.parent.mkdir()
        cache.write_text(json.dumps(known))
        print(f"a cache of {cache.stat().st_size:,} bytes")
        nothing, free, busy, warned = [], [], [], []
        with (home / "lock").open("w") as lock:
            for _ in range(CALLS):
                nothing.append(cpu_of([*python, "-c", "pass"], ""))
                free.append(cpu_of(record, event))
                fcntl.flock(lock, fcntl.LOCK_EX)
                busy.append(cpu_of(record, event))
                session = json.dumps({**json.loads(advised), "session_id": f"s{len(warned)}"})
                warned.append(cpu_of([*record, "advice=on"], session))
                fcntl.flock(lock, fcntl.LOCK_UN)
    base = statistics.median(nothing)
    print(f"the interpreter alone       {base * 1000:5.1f} ms")
    for name, found in (
        ("a hook that starts bringing", free),
        ("a hook while one brings in ", busy),
        ("a warning before a call    ", warned),
    ):
        print(
            f"{name} {statistics.median(found) * 1000:5.1f} ms: {(statistics.median(found) - base) * 1000:.1f} beside"
        )


if __name__ == "__main__":
    main()
