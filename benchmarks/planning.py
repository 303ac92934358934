"""What planning a statement costs: each public view, and each job, on a store with nothing in it to read.

    python benchmarks/planning.py

Processor seconds of the least of five, with the embedded store's settings and with the engine's own.
"""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING

from otel_episodes_clickhouse import Store, Target
from otel_episodes_clickhouse.learning import jobs

if TYPE_CHECKING:
    from collections.abc import Callable

RELATIONS = ("episodes", "steps", "model_calls", "rewards", "reflections", "patterns", "tasks")


def least(ask: Callable[[], object]) -> float:
    """Return the least processor seconds of five times."""
    spent = []
    for _ in range(5):
        began = time.process_time()
        ask()
        spent.append(time.process_time() - began)
    return min(spent)


def main() -> None:
    """Print a line a statement."""
    with tempfile.TemporaryDirectory() as folder, Store.open(Target.resolve(f"chdb://{folder}/store")) as store:
        store.migrate()
        print(f"{'':24}{'ours':>8}{'engine':>8}")
        for relation in RELATIONS:
            text = f"SELECT * FROM {relation}"
            ours = least(lambda text=text: store.query(text))
            engine = least(lambda text=text: store.query(f"{text} SETTINGS query_plan_merge_expressions = 1"))
            print(f"{relation:24}{ours:8.3f}{engine:8.3f}")
        print(f"{'jobs, nothing to do':24}{least(lambda: jobs.run(store)):8.3f}")


if __name__ == "__main__":
    main()
