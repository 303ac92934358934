"""Measure one peer beside a hand-written span, in this process, and print one line of JSON.

`PYTHONPATH=benchmarks python benchmarks/peers/measure.py langfuse`, in an environment that has the peer;
`run.py` does this for all of them. The network is taken away before the peer is imported.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import socket
from importlib.metadata import version
from typing import TYPE_CHECKING, NoReturn

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from paired import FOUND, PATH, PATTERN, Arm, bare, calling, clocked, hand_written, measure, recorded, within_span

if TYPE_CHECKING:
    from paired import Tool
    from peer import Peer

refused: set[str] = set()


def _refuse(*target: object, **_: object) -> NoReturn:
    refused.add(repr(target[-1] if isinstance(target[0], socket.socket) else target[0]))
    raise OSError("the benchmark runs without a network")


def _take_the_network_away() -> None:
    for name in ("connect", "connect_ex"):
        setattr(socket.socket, name, _refuse)
    socket.getaddrinfo = _refuse


# What a step of ours has on its span besides its arguments and its result.
DETAILS = {
    "episode.span": "step",
    "episode.step.kind": "tool_use",
    "episode.step.index": 7,
    "episode.step.success": True,
    "episode.id": "01JD3Z8Q4W6X2Y5T7R9P1M3K5H",
    "gen_ai.agent.name": "coder",
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "grep",
}


def _detailed(more: int) -> Tool:
    """Return the tool with so many attributes set by hand in its body."""
    details = list(DETAILS.items())[:more]

    def grep(pattern: str, path: str) -> str:
        span = trace.get_current_span()
        for key, value in details:
            span.set_attribute(key, value)
        return bare(pattern, path)

    return grep


def _measure(peer: Peer, rounds: int, calls: int, more: int) -> dict[str, object]:
    tracer = TracerProvider().get_tracer("hand-written")
    by_hand, tool = hand_written(tracer), peer.decorate(_detailed(more) if more else bare)
    baseline = Arm("hand-written", calling(by_hand), scope=within_span(tracer))
    scope = peer.scope or within_span(peer.provider.get_tracer("agent"))
    arm = Arm(peer.distribution, calling(tool), baseline=baseline.name, scope=scope)
    [cost] = measure([baseline, arm], rounds=rounds, calls=calls)
    clock = clocked({"by_hand": (by_hand, baseline.scope), "peer": (tool, scope)}, rounds=rounds)
    span = recorded(peer.provider, arm)
    content = " ".join(map(str, span.values()))
    return {
        **cost.as_json(),
        "clock": clock,
        "version": version(peer.distribution),
        "sdk": version("opentelemetry-sdk"),
        "python": platform.python_version(),
        "wiring": peer.wiring,
        "captures_arguments": PATTERN in content and PATH in content,
        "captures_result": FOUND in content,
        "span": {key: value if isinstance(value, (str, int, float)) else str(value) for key, value in span.items()},
        "refused": sorted(refused),
    }


def main() -> None:
    """Measure the arm named on the command line."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("peer", help="the NAME of an arm_NAME.py beside this file")
    options.add_argument("--rounds", type=int, default=40)
    options.add_argument("--calls", type=int, default=300)
    options.add_argument("--more", type=int, default=0, help="attributes to set by hand in the tool's body")
    given = options.parse_args()
    _take_the_network_away()
    peer: Peer = importlib.import_module(f"arm_{given.peer}").peer
    print(json.dumps(_measure(peer, given.rounds, given.calls, given.more)))


if __name__ == "__main__":
    main()
