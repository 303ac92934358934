"""What `otel-episodes start`, `step` and `complete` cost a shell: processor time of the whole process, medians.

python benchmarks/shell_cost.py [times]
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile

from table import show

TIMES = 20


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else TIMES
    with tempfile.TemporaryDirectory() as home:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        environment["OTEL_EPISODES_HOME"] = home
        command = [sys.executable, "-m", "otel_episodes_clickhouse.cli"]
        started = subprocess.run(
            [*command, "start", "Fix the flaky test"], env=environment, capture_output=True, text=True, check=True
        )
        handle = started.stdout.strip()
        told = ["--tool", "cargo", "--action", "test --all", "--latency-ms", "3200", "--observation", "2 tests failed"]
        rows = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "start": [*command, "start", "Fix the flaky test", "--agent", "coder"],
            "step": [*command, "step", handle, *told],
            "complete": [*command, "complete", handle, "--outcome", "success"],
            # A setting in the environment is enough for the ordinary way.
            "step, the ordinary way": ["env", "OTEL_EPISODES_CAPTURE=summary", *command, "step", handle, *told],
        }
        found = [[name, *seconds(row, environment, times)] for name, row in rows.items()]
    show("Processor time of the whole process", ["command", "median", "least"], found)


def seconds(command: list[str], environment: dict[str, str], times: int) -> list[str]:
    """Return the median and the least processor time of a command."""
    took = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, env=environment, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return [f"{statistics.median(took):.3f} s", f"{min(took):.3f} s"]


if __name__ == "__main__":
    main()
