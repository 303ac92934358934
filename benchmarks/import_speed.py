"""What importing costs: a session of Claude Code of 200 MB, made here, into an embedded store; seconds and MB.

``python benchmarks/import_speed.py [MB]``. Each part is measured in a process of its own: reading alone, with rows,
with the store; and again, when nothing is new.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SESSION = "5e551011-0000-4000-8000-000000000000"
PART = """
import resource, sys, time
from pathlib import Path
from otel_episodes_clickhouse.config import Target
from otel_episodes_clickhouse.importers import dispatch, load
from otel_episodes_clickhouse.importers.options import ImportOptions
from otel_episodes_clickhouse.importers.run_rows import RowMaker

path, part, home = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
reading = dispatch.Reading(ImportOptions(), print)
found = dispatch.found_under([path], {})
began, cpu = time.perf_counter(), time.process_time()
if part == "read":
    steps = sum(len(run.steps) for _, run in reading.runs(found))
elif part == "rows":
    steps = sum(1 for _, run in reading.runs(found) for row in RowMaker().rows(run)
                if row.span_attributes.get("episode.span") == "step")
else:
    from otel_episodes_clickhouse.store.store import Store
    with Store.open(Target.resolve(f"chdb://{home}")) as store:
        store.migrate()
        began, cpu = time.perf_counter(), time.process_time()
        tally = load.Import(store, reading).run(found)
        steps = tally.steps
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(part, steps, time.perf_counter() - began, time.process_time() - cpu, peak)
"""


def main(megabytes: int) -> None:
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / f"{SESSION}.jsonl"
        steps = write(path, megabytes * 1_000_000)
        print(f"{path.stat().st_size / 1e6:.0f} MB, {steps} steps")
        for part in ("read", "rows", "import", "again"):
            command = [sys.executable, "-c", PART, str(path), part, str(Path(home) / "store")]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            _, found, wall, cpu, peak = done.stdout.split()[-5:]
            seconds = f"{float(wall):6.1f} s  {float(cpu):6.1f} s CPU"
            print(f"{part:7} {found:>7} steps  {seconds}  {steps / float(cpu):8.0f}/s CPU  {peak:>5} MB")


def write(path: Path, size: int) -> int:
    """Write a session of so many bytes: answers of a model in two lines, a call each, results of 0 to 12 KB."""
    rng, steps, now = random.Random(7), 0, time.time() - 86_400
    words = ["def", "class", "return", "import", "total", "parse", "error", "value", "index", "token", "count", "path"]
    text = " ".join(rng.choice(words) for _ in range(4000))
    common = {"isSidechain": False, "sessionId": SESSION, "cwd": "/srv/big", "version": "2.3.0", "gitBranch": "main"}
    with path.open("w") as file:

        def line(kind: str, uuid: str, message: object, **more: object) -> None:
            nonlocal now
            now += 0.2
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
            file.write(
                json.dumps({**common, "type": kind, "uuid": uuid, "timestamp": stamp, "message": message, **more})
                + "\n"
            )

        line("user", "u", {"role": "user", "content": "Go through all files"})
        while file.tell() < size:
            steps += 1
            usage = {"input_tokens": 5, "cache_read_input_tokens": 9000, "output_tokens": rng.randrange(900)}
            answer = {"id": f"m{steps}", "role": "assistant", "model": "claude-test", "usage": usage}
            line(
                "assistant",
                f"a{steps}",
                {**answer, "content": [{"type": "text", "text": text[:300]}]},
                requestId=f"q{steps}",
            )
            call = {
                "type": "tool_use",
                "id": f"t{steps}",
                "name": rng.choice(["Read", "Bash", "Grep", "Edit"]),
                "input": {"command": text[: rng.randrange(20, 400)]},
            }
            line("assistant", f"b{steps}", {**answer, "content": [call]}, requestId=f"q{steps}")
            result = {"type": "tool_result", "tool_use_id": f"t{steps}", "content": text[: rng.randrange(12_000)]}
            if steps % 9 == 0:
                result |= {"is_error": True, "content": "Exit code 1\n" + text[:500]}
            line("user", f"r{steps}", {"role": "user", "content": [result]})
    return steps


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
