"""An agent that asks, in the middle of a run, how likely it is to succeed and what to do next.

Runs offline, with a made-up past of thirty runs: `python examples/outlook.py`.
"""

from __future__ import annotations

from otel_episodes import configure, episode, log_step
from otel_episodes_clickhouse import Store, Target, advise, run_jobs

GIVE_UP = 0.3
TASK = {"agent": "fixer", "task_type": "debugging", "domain": "web-api"}


def live_through(tools: list[str], *, well: bool) -> None:
    """One run of the past: what was done, and how it went."""
    with episode("Fix a failing test", **TASK) as ep:
        for tool in tools:
            log_step(tool=tool, action="as always", latency_ms=100)
        if not well:
            ep.fail("the test fails still")


def learn() -> None:
    """Bring what is learned up to date; `otel-episodes jobs watch` does it all the time."""
    with Store.open(Target.resolve()) as store:
        store.drain()
        run_jobs(store)


def main() -> None:
    """Do what led to success, and look at the odds at every step."""
    tool = ""
    with episode("Fix a failing test", **TASK) as ep:
        while tool != "run_tests":
            advice = advise(ep)  # of the steps so far; before a run starts: advise(domain=..., task=...)
            if advice.probability < GIVE_UP:
                ep.abstain("runs that came to this point mostly failed")
                return
            best = advice.next_steps[0]
            tool = best.tool
            print(f"{advice.probability:.0%} likely to succeed; next: {tool} ({best.won} of {best.seen} such runs did)")
            log_step(tool=tool, action="as advised", latency_ms=100)  # where yours does it


if __name__ == "__main__":
    configure(service_name="examples")
    for _ in range(15):
        live_through(["read_logs", "reproduce", "edit", "run_tests"], well=True)
        live_through(["read_logs", "edit", "run_tests"], well=False)
    learn()
    main()
