"""What an insert of spans costs that are none of ours, beside another checkout: both insert the same, in turn.

    python benchmarks/insert_cost.py OTHER_CHECKOUT [--pairs 31] [--spans 5000] [--kind http|genai|ours]

Prints the median of the ratios of CPU time by the engine's own counter (OSCPUVirtualTimeMicroseconds), this checkout's
over the other's, and the interval in which half of the ratios lie. Which of the two goes first alternates.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
CPU = "SELECT value AS Value FROM system.events WHERE event = 'OSCPUVirtualTimeMicroseconds'"
HTTP = {
    "http.request.method": "GET", "http.response.status_code": "200", "url.full": "https://shop.example/cart?item=17",
    "server.address": "shop.example", "server.port": "443", "user_agent.original": "curl/8.5", "http.route": "/cart",
    "network.protocol.version": "1.1", "client.address": "192.0.2.7", "thread.id": "7", "thread.name": "worker-7",
    "code.function": "handle",
}  # fmt: skip
GENAI = {
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": "100", "gen_ai.usage.output_tokens": "20",
}  # fmt: skip
OURS = {
    "episode.span": "step", "episode.step.kind": "tool_use", "episode.step.success": "true", "episode.step.index": "1",
    "gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.arguments": '{"pattern": "TODO"}',
    "gen_ai.tool.name": "grep",
}  # fmt: skip
KINDS = {"http": HTTP, "genai": GENAI, "ours": OURS}


def main() -> None:
    """Run a worker for each checkout, ask them in turn, print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--pairs", type=int, default=31)
    parser.add_argument("--spans", type=int, default=5_000)
    parser.add_argument("--kind", choices=sorted(KINDS), default="http")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.spans, KINDS[options.kind])
        return
    with worker(HERE, options) as this, worker(options.other.resolve(), options) as other:
        for each in (this, other):
            cost(each)  # what is loaded once
        ratios, own = [], []
        for pair in range(options.pairs):
            first, second = (this, other) if pair % 2 else (other, this)
            costs = {first.pid: cost(first), second.pid: cost(second)}
            ratios.append(costs[this.pid] / costs[other.pid])
            own.append(costs[this.pid])
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(
        f"{options.kind}, {options.spans} spans an insert, {options.pairs} pairs: {middle:.3f} times the other's CPU "
        f"time (half of them {low:.3f} to {high:.3f}), {statistics.median(own) / 1000:.0f} ms"
    )


def worker(checkout: Path, options: argparse.Namespace) -> subprocess.Popen[str]:
    """Start a process that inserts with the code of a checkout."""
    command = [
        sys.executable,
        __file__,
        str(checkout),
        "--worker",
        "--spans",
        str(options.spans),
        "--kind",
        options.kind,
    ]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={"PYTHONPATH": f"{checkout}:{checkout / 'exporters'}", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip


def cost(process: subprocess.Popen[str]) -> int:
    """Have a worker insert once; return the microseconds it took."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return int(json.loads(process.stdout.readline()))


def work(count: int, attributes: dict[str, str]) -> None:
    """Insert spans for each line that is read, and write what the insert took."""
    from otel_episodes_clickhouse import Store, Target
    from otel_episodes_clickhouse.spool.row import Row

    with tempfile.TemporaryDirectory() as directory, Store.open(Target.resolve(f"chdb://{directory}/store")) as store:
        store.migrate()
        for turn, _ in enumerate(sys.stdin):
            rows = [
                Row(
                    1_767_225_600_000_000_000 + turn * 10**9 + number, f"{turn:08x}{number // 8:024x}",
                    f"{turn:08x}{number:08x}", "", span_name="GET /cart", service_name="shop", scope_name="http",
                    duration=10**6,
                    span_attributes=attributes,
                )
                for number in range(count)
            ]  # fmt: skip
            before = store.query(CPU)[0]["Value"]
            store.insert_rows(rows)
            sys.stdout.write(json.dumps(int(store.query(CPU)[0]["Value"]) - int(before)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
