"""How often the judge of advice is wrong, and how soon it is right.

    python benchmarks/effects.py [--simulations 400] [--runs 1000] [--product 120] [--json FILE]

Simulated domains in which advice changes the chance of success by nothing, by 10 or by 20 points; a fifth of runs is
held back. With recurring tasks (20, each with a chance of its own) and with tasks that never recur. One looks every 10
runs. A false alarm is a sequence that has left out 0 at any look where there is no effect; an effect is found when it
has. Coverage of the sequence: the true effect was never left out; of the interval of Mantel and Haenszel: it holds the
true effect at the end. In brackets the Wilson interval of a share at 95 %.

``--product`` takes so many runs through the product: recorded by `episode`, advised by `advise`'s own draw and span,
learned from by the jobs, and read from `advice_effects`, which must say what the reference says.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from effects_reference import GRID, Sequence, mantel_haenszel
from table import show as show_table

from otel_episodes import configure, episode, log_step
from otel_episodes_clickhouse import Store, Target, run_jobs
from otel_episodes_clickhouse.advice.advise import ask
from otel_episodes_clickhouse.learning.ranking import wilson

SHARE = 0.8
ALPHA = 0.05
LOOK = 10
TASKS = 20


def simulate(effect: float, *, recurring: bool, simulations: int, runs: int, seed: int) -> dict[str, Any]:
    """Return how a domain with this effect is judged, over and over."""
    draw = np.random.default_rng(seed)
    tasks = draw.integers(0, TASKS, (simulations, runs)) if recurring else np.tile(np.arange(runs), (simulations, 1))
    # Tasks are of different difficulty; with the effect added every chance stays between 0 and 1.
    low, high = max(0.05, 0.05 - effect), min(0.95, 0.95 - effect)
    chances = draw.uniform(low, high, (simulations, TASKS if recurring else runs))
    base = np.take_along_axis(chances, tasks, 1)
    shown = draw.random((simulations, runs)) < SHARE
    won = draw.random((simulations, runs)) < base + effect * shown
    looks = bet(won.astype(float), shown, tasks, recurring=recurring)
    zero, true = GRID.index(0.0), GRID.index(effect)
    out = np.array([~left[:, zero] for _, left in looks])
    missed = np.array([~left[:, true] for _, left in looks])
    first = np.where(out.any(0), out.argmax(0), len(looks))
    found = [LOOK * (place + 1) for place in first if place < len(looks)]
    held = [
        low <= effect <= high
        for low, high in (
            mantel_haenszel(list(zip(map(str, tasks[s]), map(bool, won[s]), map(bool, shown[s]), strict=True)))[1:]
            for s in range(simulations)
        )
    ]
    return {
        "effect": effect, "tasks": "recurring" if recurring else "unique", "simulations": simulations,
        "zero left out": int(out.any(0).sum()), "median runs": median(found) if found else None,
        "sequence covers": int((~missed.any(0)).sum()), "interval covers": int(sum(held)),
    }  # fmt: skip


def bet(outcomes: Any, shown: Any, tasks: Any, *, recurring: bool) -> list[tuple[int, Any]]:
    """Return at each look which effects are left, for all simulations at once: `Sequence` by columns."""
    simulations, runs = outcomes.shape
    grid = np.array(GRID)
    w = SHARE * (1 - SHARE)
    total, squares = np.zeros(simulations), np.zeros(simulations)
    counts = np.zeros((simulations, TASKS if recurring else runs))
    sums = np.zeros_like(counts)
    up, down = np.zeros((simulations, len(grid))), np.zeros((simulations, len(grid)))
    rows, looks = np.arange(simulations), []
    for run in range(runs):
        task, y = tasks[:, run], outcomes[:, run]
        mean = (sums[rows, task] + 2 * (total + 1) / (run + 2)) / (counts[rows, task] + 2)
        z = (y - mean) * (shown[:, run] - SHARE)
        stake = np.minimum(0.75, np.sqrt(2 * np.log(2 / ALPHA) / (400 * (squares + w / 4) / (run + 1))))
        moved = stake[:, None] * (z[:, None] - grid[None, :] * w)
        up += np.log1p(moved)
        down += np.log1p(-moved)
        total += y
        squares += z * z
        counts[rows, task] += 1
        sums[rows, task] += y
        if (run + 1) % LOOK == 0:
            looks.append((run + 1, (np.exp(up) + np.exp(down)) / 2 < 1 / ALPHA))
    return looks


def through_the_product(runs: int, seed: int = 7) -> dict[str, Any]:
    """Record runs of an agent that is helped by its advice, and compare what the product and the reference say."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        dsn = f"chdb://{directory}/store"
        configure(dsn=dsn, service_name="effects-benchmark")
        target = Target.resolve(dsn)
        with Store.open(target) as store:
            store.migrate()
            for number in range(24):
                with episode("Cancel an order", domain="shop") as ep:
                    log_step(tool="look" if number % 2 else "guess")
                    ep.succeed() if number % 2 else ep.fail()
            store.drain()
            run_jobs(store, "values")
            told = []
            began = time.process_time()
            for number in range(runs):
                with episode(f"Cancel an order of {number % 5}", domain="shop") as ep:
                    so_far = {"episode": ep.id, "domain": "shop", "task": ep.task, "tools": [], "ended": False}
                    advice = ask(store, so_far, run=ep)
                    shown = advice.arm == "shown"
                    advice.brief()
                    won = draw.random() < 0.3 + 0.4 * shown
                    log_step(tool="look")
                    ep.succeed() if won else ep.fail()
                told.append((f"Cancel an order of {number % 5}", won, shown))
            spent = time.process_time() - began
            store.drain()
            run_jobs(store, "reflections")
            asked = time.perf_counter()
            (row,) = (row for row in store.query("SELECT * FROM advice_effects WHERE Domain = '' AND Item = ''"))
            asked = time.perf_counter() - asked
    reference = Sequence(SHARE)
    for task, won, shown in told:
        reference.add(task, float(won), shown=shown)
    return {
        "runs": runs, "shown": row["Shown"], "held": row["Held"], "state": row["State"],
        "product": (row["SequenceLow"], row["SequenceHigh"], row["Difference"], row["Low"], row["High"]),
        "reference": (*reference.interval(), *mantel_haenszel(told)),
        "advise_cpu_seconds": spent / runs, "effects_seconds": asked,
    }  # fmt: skip


def share(count: int, of: int) -> str:
    """Return a share with its interval."""
    low, high = wilson(count, of)
    return f"{count / of:.1%} ({low:.1%} to {high:.1%})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--product", type=int, default=0)
    parser.add_argument("--json", default="")
    options = parser.parse_args()
    found = [
        simulate(effect, recurring=recurring, simulations=options.simulations, runs=options.runs, seed=place)
        for place, (effect, recurring) in enumerate(
            (effect, recurring) for recurring in (True, False) for effect in (0.0, 0.1, -0.1, 0.2, -0.2)
        )
    ]
    rows = [
        [
            row["tasks"], f"{row['effect']:+.1f}", share(row["zero left out"], row["simulations"]),
            str(row["median runs"] or "-"), share(row["sequence covers"], row["simulations"]),
            share(row["interval covers"], row["simulations"]),
        ]
        for row in found
    ]  # fmt: skip
    head = ["tasks", "effect", "0 left out at some look", "median runs", "sequence covers", "interval covers"]
    show_table("Effects", head, rows)
    product = through_the_product(options.product) if options.product else None
    if product is not None:
        print(json.dumps(product))
    if options.json:
        Path(options.json).write_text(json.dumps({"simulated": found, "product": product}), encoding="utf-8")


if __name__ == "__main__":
    main()
