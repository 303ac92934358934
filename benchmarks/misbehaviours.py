"""Ship through a server that misbehaves, and count what arrives: the table in docs/explanation/delivery.md.

    python benchmarks/misbehaviours.py [--rounds 3]

What `tests/delivery/test_ship.py` does once it does some rounds of. The server is the front end over the
embedded engine under ``tests/``, or a real one at CLICKHOUSE_URL.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from faulty_proxy import INSERTS, FaultyProxy
from ship_fixtures import MISBEHAVIOURS, front_end, shipping, spool_spans, stored, target_of, wait_for
from storage_fixtures import finished_spans

from otel_episodes._for_store import read_span
from otel_episodes_clickhouse import Store, Target

SPANS = 300
TIMES = 3


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=3, help="of every misbehaviour")
    rounds = options.parse_args().rounds
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = os.environ.get("CLICKHOUSE_URL") or stack.enter_context(front_end(home))
        with Store.open(Target.resolve(server)) as store:
            store.migrate()
        print("| Misbehaviour | rounds | inserts sent | of them met | spans sent | stored | twice | lost |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
        for how in MISBEHAVIOURS:
            counted = [one_round(how, server, home / how / str(number)) for number in range(rounds)]
            inserts, met, spans, rows, found = (sum(column) for column in zip(*counted, strict=True))
            cells = (f"`{how}`", rounds, inserts, met, spans, found, rows - found, spans - found)
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


def one_round(how: str, server: str, home: Path) -> tuple[int, int, int, int, int]:
    """Return inserts sent, those that met the misbehaviour, spans sent, rows and spans stored."""
    service = f"{how} {home.name} {os.getpid()}"
    with FaultyProxy(server) as proxy:
        proxy.misbehave(how, times=TIMES, only=INSERTS, **MISBEHAVIOURS[how])
        target = target_of(proxy.dsn, home, insert_timeout="1" if how in {"hang", "slow"} else "30")
        writer = spool_spans(target, SPANS, service)
        with shipping(target) as shipper:
            wait_for(lambda: shipper.delivery.exported)
            writer.append(read_span(finished_spans(1, service=service)[0]))
            wait_for(lambda: shipper.flush(60))
        counts = stored(server, service)
        return len(proxy.inserts()), proxy.faults()[how], writer.written, counts["Rows"], counts["Spans"]


if __name__ == "__main__":
    main()
