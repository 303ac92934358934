"""One arm of `delivery.py`: a process that records, and prints what it felt as a line of JSON.

`none` records spans that nobody takes. `store` records into the spool and ships from a thread, `apart` leaves shipping
to `otel-episodes ship`, `led` does so without being told to, `standard` sends by the SDK's BatchSpanProcessor and the
OTLP exporter.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from otel_episodes import _state, configure, current_episode, episode, step, with_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

THREADS = 16
SAMPLES = 12
TURN = 250
PAUSE_EVERY = 100
STEPS_A_SECOND = 100


@step("grep", action="search {pattern}")
def grep(pattern: str, path: str) -> str:
    """Stand in for a tool."""
    return f"12 matches for {pattern} in {path}"


def set_up(arm: str, name: str, address: str) -> None:
    """Record the arm's way; the name tells its rows from others'."""
    if arm == "none":
        trace.set_tracer_provider(TracerProvider())
    elif arm == "standard":
        configure(otlp=address, service_name=name)
    else:
        configure(dsn=address, service_name=name, ship=False if arm == "apart" else None)


def call(steps: int, pause: float = 0.0) -> Iterator[int]:
    """Call the tool that often, in one episode; give the nanoseconds of each call."""
    with episode("Find what is left to do", agent="coder"):
        for number in range(steps):
            began = time.perf_counter_ns()
            grep("TODO", "src")
            yield time.perf_counter_ns() - began
            if pause and number % PAUSE_EVERY == 0:
                time.sleep(pause)


def flush(seconds: float) -> bool:
    """Flush the provider within that time; tell whether it says that all is delivered."""
    provider: Any = trace.get_tracer_provider()
    return bool(provider.force_flush(int(seconds * 1000)))


def throughput(steps: int) -> dict[str, object]:
    """Record by turns where spans are delivered and where nobody takes them, and flush; give the CPU of delivering.

    In microseconds a span: what a step takes more of the recording thread where it is delivered (paired, since a shared
    machine's clock moves by a third from one second to the next), and what all other threads use, flushing included.
    """
    providers: dict[bool, Any] = {True: trace.get_tracer_provider(), False: TracerProvider()}
    list(call(1))
    flush(30)
    cpu, own = time.process_time(), time.thread_time()
    spent = {True: 0.0, False: 0.0}
    for turn in range(steps // TURN):
        for delivered in (True, False) if turn % 2 else (False, True):
            _state.provider = providers[delivered]
            began = time.thread_time()
            for _ in call(TURN):
                pass
            spent[delivered] += time.thread_time() - began
    recorded = time.thread_time() - own
    _state.provider = providers[True]
    flushed = flush(120)
    others = time.process_time() - cpu - recorded
    micros = {"own": spent[True] - spent[False], "others": others, "alone": spent[False]}
    return {**{name: seconds / steps * 1e6 for name, seconds in micros.items()}, "flushed": flushed}


def burst(steps: int) -> dict[str, object]:
    """Record as fast as possible, then end as a program ends."""
    for _ in call(steps):
        pass
    return {}


def latency(steps: int) -> dict[str, object]:
    """Give the quantiles of a call, in microseconds by the clock, with a breath now and then as a program takes it."""
    list(call(500))
    nanos = sorted(call(steps, 0.002))
    return {f"p{share}": nanos[int(len(nanos) * share / 100)] / 1000 for share in (50, 99, 99.9)}


def resident() -> float:
    """Return the resident megabytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if sys.platform == "linux" else 0
    return pages * resource.getpagesize() / 1e6


def memory(steps: int) -> dict[str, object]:
    """Give the resident megabytes, after the first twelfth of the steps and after each further one."""
    found = []
    for number, _ in enumerate(call(steps), 1):
        if number % (steps // SAMPLES) == 0:
            found.append(resident())
    return {"megabytes": found}


def paced(steps: int) -> dict[str, object]:
    """Record at 100 steps a second; give the same as `memory`, and the CPU seconds of all of it."""
    found = []
    began, cpu = time.monotonic(), time.process_time()
    for number, _ in enumerate(call(steps), 1):
        if number % (steps // SAMPLES) == 0:
            found.append(resident())
        # Against the clock, so that what a step takes does not add up.
        time.sleep(max(0.0, began + number / STEPS_A_SECOND - time.monotonic()))
    return {"megabytes": found, "cpu": time.process_time() - cpu, "seconds": time.monotonic() - began}


def threads(steps: int) -> dict[str, object]:
    """Record from sixteen threads at once into one episode."""

    def work() -> None:
        for _ in range(steps // THREADS):
            grep("TODO", "src")

    with episode("Find what is left to do", agent="coder"):
        assert current_episode() is not None
        workers = [threading.Thread(target=with_context(work)) for _ in range(THREADS)]
        cpu = time.process_time()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        spent = time.process_time() - cpu
    return {"micros": spent / steps * 1e6}


def away(steps: int) -> dict[str, object]:
    """Record while nobody answers; give how long a flush of two seconds takes. The caller measures the exit."""
    for _ in call(steps):
        pass
    began = time.monotonic()
    flushed = flush(2)
    return {"flush": time.monotonic() - began, "flushed": flushed}


def short(steps: int) -> dict[str, object]:
    """Record and end at once."""
    for _ in call(steps):
        pass
    return {}


def longer(steps: int) -> dict[str, object]:
    """Record and end two seconds later, when whatever is imported in the background is imported."""
    for _ in call(steps):
        pass
    time.sleep(2)
    return {}


MEASURES: dict[str, Callable[[int], dict[str, object]]] = {
    measure.__name__: measure for measure in (throughput, burst, latency, memory, paced, threads, away, short, longer)
}

if __name__ == "__main__":
    way, measured, amount, service, target = sys.argv[1:]
    set_up(way, service, target)
    result = MEASURES[measured](int(amount))
    # The time is that of the last line of the program: what comes after is the exit.
    sys.stdout.write(json.dumps({**result, "ended": time.time(), "pid": os.getpid()}) + "\n")
    sys.stdout.flush()
