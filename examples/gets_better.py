"""An agent that gets better over a hundred runs, beside one that remembers nothing.

Runs offline: `python examples/gets_better.py`. With a path it also draws what came of it:
`python examples/gets_better.py docs/how-to/gets_better.svg`.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from otel_episodes import configure, episode, log_step
from otel_episodes_clickhouse import Advisor, Call, Store, Target, run_jobs

RUNS, LEARN_EVERY = 100, 20
TOOLS = ["find_order", "check_policy", "refund", "cancel_order", "search_help", "send_apology"]
# What has to be done, in this order; the agents do not know it. One call ruins everything.
WAY, RUIN = ["find_order", "check_policy", "refund"], "cancel_order"
TASK = "Refund an order that arrived broken"


def live_through(domain: str, draw: random.Random, advisor: Advisor | None) -> bool:
    """One run of at most six calls; return whether the order was refunded."""
    done = 0
    run = advisor.run(task=TASK) if advisor else None
    with episode(TASK, agent="support", domain=domain) as ep:
        for _ in range(6):
            tool = draw.choice(TOOLS)
            if run:
                # A draw from what is known, so that what nobody has tried is tried now and then.
                options = run.rank([Call(tool) for tool in TOOLS])
                tool = max(options, key=lambda option: draw.betavariate(option.alpha, option.beta)).call.tool
            done += done < len(WAY) and tool == WAY[done]
            log_step(tool=tool, action=TASK, observation=f"{done} of {len(WAY)}", latency_ms=100)
            if run:
                run.observe(tool, observation=f"{done} of {len(WAY)}")
            if tool == RUIN or done == len(WAY):
                break
        if done == len(WAY):
            ep.succeed("refunded")
            return True
        ep.fail("not refunded")
        return False


def learn() -> None:
    """Bring what is known up to date; `otel-episodes jobs watch` does it all the time."""
    with Store.open(Target.resolve()) as store:
        store.drain()
        run_jobs(store, "values")


def live(domain: str, *, advised: bool) -> list[bool]:
    """A hundred runs; return which went well."""
    draw, went = random.Random(8), []
    with Advisor.open(domain=domain) as advisor:
        for number in range(1, RUNS + 1):
            went.append(live_through(domain, draw, advisor if advised else None))
            if advised and number % LEARN_EVERY == 0:
                learn()
    return went


def plot(series: dict[str, list[bool]]) -> str:
    """Return a picture: the share of the last twenty runs that went well."""
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 300" font-family="sans-serif" font-size="13">',
        '<rect width="640" height="300" fill="#fff"/>',
    ]
    for percent in range(0, 101, 25):
        y = 250 - 2 * percent
        lines.append(
            f'<path d="M60 {y}H510" stroke="#ddd"/><text x="50" y="{y + 4}" text-anchor="end">{percent}%</text>'
        )
    lines += [
        f'<text x="{60 + 4.5 * number:g}" y="270" text-anchor="middle">{number}</text>' for number in range(0, 101, 20)
    ]
    lines.append('<text x="285" y="292" text-anchor="middle">runs; share of the last 20 that went well</text>')
    for (name, went), color in zip(series.items(), ("#0b6e4f", "#999999"), strict=True):
        last = [went[max(0, number - 20) : number] for number in range(1, RUNS + 1)]
        shares = [sum(window) / len(window) for window in last]
        points = " ".join(f"{60 + 4.5 * number:g},{250 - 200 * share:.1f}" for number, share in enumerate(shares, 1))
        lines.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2.5"/>')
        lines.append(f'<text x="518" y="{254 - 200 * shares[-1]:.1f}" fill="{color}">{name}</text>')
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    """Live twice, and compare."""
    series = {"with advice": live("shop", advised=True), "without": live("shop, nobody asks", advised=False)}
    for start in range(0, RUNS, 20):
        shares = [f"{name} {sum(went[start : start + 20]) / 20:.0%}" for name, went in series.items()]
        print(f"runs {start + 1} to {start + 20}: {', '.join(shares)}")
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(plot(series), encoding="utf-8")


if __name__ == "__main__":
    configure(service_name="examples")
    main()
