"""Cause faults hundreds of times and count what was lost and what was doubled: the table of docs/explanation/faults.md.

    python benchmarks/faults.py [--rounds 300] [--seed 1] [--only NAME ...]

Needs root for the disk that fills up (a tmpfs is mounted), and strace for the faults at every system call; what cannot
be run is said. Half an hour or more, most of it starts of the embedded engine. Exit 1 if anything was lost or doubled.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

import fault_campaign as campaign

if TYPE_CHECKING:
    from collections.abc import Callable

    from fault_campaign import Count

MISBEHAVIOURS = (
    "refuse", "reset", "error_500", "unavailable", "hang", "half", "lose", "half_answer", "slow", "full", "denied",
)  # fmt: skip
HEAD = "| Fault | times | steps recorded | of these stored | lost | stored twice | |\n|---|---|---|---|---|---|---|"


def faults(rounds: int, seed: int) -> dict[str, Callable[[Path], Count]]:
    """Return what to do by name; starts of the engine are dear, so those faults come less often."""
    few = max(rounds // 6, 1)
    found = {
        "agent": partial(campaign.agents_killed, rounds=rounds, seed=seed),
        "shipper": partial(campaign.shippers_killed, rounds=rounds, seed=seed),
        "command": partial(campaign.ship_command_killed, rounds=rounds, seed=seed),
        "both": partial(campaign.shippers_killed, rounds=rounds, seed=seed, agents=True),
        **{
            f"server-{fault}": partial(campaign.server_misbehaves, rounds=max(rounds // 15, 1), seed=seed, fault=fault)
            for fault in MISBEHAVIOURS
        },
        "server-away": partial(campaign.server_away, rounds=max(rounds // 30, 1), seed=seed),
        "power": partial(campaign.power_cuts, rounds=rounds, seed=seed),
        "limit": partial(campaign.spool_limit_reached, rounds=max(rounds // 15, 2), seed=seed),
        "disk": partial(campaign.disk_fills, rounds=rounds, seed=seed),
        "reader": partial(campaign.reader_killed, rounds=few, seed=seed),
        **{f"ship-{call}": partial(campaign.every_call_to_a_server, call=call) for call in campaign.OWN_CALLS},
        **{f"call-{call}": partial(campaign.every_call, call=call) for call in campaign.CALLS},
    }
    if os.geteuid() != 0:
        print("not run, needs root: disk")
        del found["disk"]
    if shutil.which("strace") is None:
        print("not run, needs strace: ship-..., call-...")
        found = {name: cause for name, cause in found.items() if not name.startswith(("ship-", "call-"))}
    return found


def main() -> int:
    """Print the table, a line as soon as it is known."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[])
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)
    print(HEAD)
    wrong = 0
    for name, cause in faults(chosen.rounds, chosen.seed).items():
        if chosen.only and name not in chosen.only:
            continue
        begin = time.monotonic()
        with campaign.scratch() as directory:
            count = cause(Path(directory))
        print(count.line(), flush=True)
        print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
        wrong += count.lost + count.duplicates + count.steps_lost
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
