"""Counts of runs kept in memory, as `jobs run` makes them of recorded ones: many runs at the price of few.

The ranking asked is the product's own; only what it looks up was not recorded. `benchmarks/advice.py` has an arm of it
beside the one that records, and both must solve the same tasks.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from otel_episodes_clickhouse.learning import values
from otel_episodes_clickhouse.learning.ranking import Asked as Made
from otel_episodes_clickhouse.learning.ranking import Done, calls, contexts, failed, grounding, hashed, mixed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_episodes_clickhouse.learning.values import Values

# Contexts in which templates are counted, and the ones in which it is how well arguments are grounded, and failures.
_TEMPLATES, _GROUNDED, _FAILURES = (0, 1, 4, 5), 0, 0
# What a run earns that went well.
WON = 0.5


class Taken(NamedTuple):
    """A step of a run: what was called, and whether it worked."""

    tool: str
    template: str
    ok: bool


class Counted:
    """The counts of one domain."""

    def __init__(self, domain: str) -> None:
        self._domain = domain
        self._counts: dict[tuple[int, int], list[float]] = defaultdict(lambda: [0, 0, 0, 0, 0])
        self._tools: set[str] = set()
        self._known = values.from_rows(domain, (), ())

    def add(self, task: str, steps: Sequence[Taken], earned: float) -> None:
        """Count a run."""
        first: set[tuple[int, int]] = set()
        past: list[Done] = []
        for place, step in enumerate(steps):
            # In millionths, as the job has it.
            gain = round(round(earned * 1e6) * 0.95 ** (len(steps) - 1 - place))
            self._tools.add(step.tool)
            for key in self._keys(task, past, step):
                new = key not in first
                first.add(key)
                for number, more in enumerate((1, 1, gain, new, new and earned >= WON)):
                    self._counts[key][number] += more
            past.append(Done(step.tool, failed=not step.ok))

    def _keys(self, task: str, past: Sequence[Done], step: Taken) -> Iterator[tuple[int, int]]:
        made = Made(step.tool, step.template)
        tool, *templates = calls(made)
        grounded = grounding(step.template)
        for level, context in enumerate(contexts(self._domain, task, past[-3:])):
            yield context, tool
            if level in _TEMPLATES:
                yield from ((context, call) for call in templates)
            if not step.ok and level == _FAILURES:
                yield from ((context, call) for call in failed(made))
            if grounded and level == _GROUNDED:
                yield context, mixed(hashed(""), hashed(grounded))

    def learn(self) -> None:
        """Let what was counted be known."""
        rows = [(*key, seen, n, gain / 1e6, runs, won) for key, (seen, n, gain, runs, won) in self._counts.items()]
        self._known = values.from_rows(self._domain, sorted(self._tools), rows)

    def known(self) -> Values:
        """Return what was known when it last learned."""
        return self._known
