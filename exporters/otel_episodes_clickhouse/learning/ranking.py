"""What a call is worth, given what was done before it: the formula, over counts that somebody else looks up.

Of a call in a context are counted ``n`` steps of runs that were judged, ``gain``, the sum of what these runs earned
(0 to 1, a step further from the end getting 5 % less for each step between), and ``runs``, how many runs these were.
Contexts go from the general to the specific: any step of the domain, after the last call, the last two, the last
three; then, for a task that recurs, any of its steps, after the last, the last two. A context's value V is
(gain + 0.1) / (n + 1) at the top and (gain + 3 V of its parent) / (n + 3) below. A call there is worth
q = (runs gain / n + k m) / (runs + k) with m = V times its lift so far and k = 5 + 0.1 / V, and its lift becomes q / V.
So what nobody has tried keeps the lift of what is more general, and a habit earns nothing by being one: **lift** ranks.
A step counts in the most specific of the contexts that contain each other: what was seen once is one proof, not four.
Where outcomes are noise, or lies, k keeps lifts near 1; where next to nothing ever succeeds, 0.1 / V does: there, that
a call did not succeed either says nothing of it. What a lift begins with is 1 less three quarters of how often the call
fails, which is known of steps whatever the run's outcome.

Below the tool come the template of the call and then the template with its literals, in the same contexts.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MASK: Final = (1 << 64) - 1
# What stands before the first step, and for the domain: see internal_followed.
_NOTHING: Final = 94
# A context's value is that of its parent, as if seen in so many steps of it.
_STRENGTH: Final = 3.0
# What is believed of a call before it was seen here counts as so many runs, and as many more as earn a tenth.
_RUNS: Final = 5.0
_EARNING: Final = 0.1
# How much less a call is worth, before it is known what it led to, where it always fails: a step is lost.
_LOST: Final = 0.75
# That it works is believed as if seen so often.
_WORKED: Final = 2
_MOST: Final = 0.98
_Z: Final = 1.96
# Parents of the seven contexts, and from how many steps on each says what is usual.
_PARENTS: Final = (-1, 0, 1, 2, 0, 4, 5)
_USUAL_FROM: Final = (1, 3, 3, 3, 1, 1, 1)
# Which of two is more specific to the task or to what was done.
_SPECIFIC: Final = (1, 3, 4, 5, 2, 6, 7)
# Those that are followed by one of theirs.
_SPLIT: Final = (0, 1, 2, 4, 5)
# Of a template only the contexts are counted in which it is seen often enough to say anything.
_TEMPLATE_CONTEXTS: Final = (0, 1, 4, 5)
# A literal that one run used may have been luck, or a slip of the pen.
_LITERAL_RUNS: Final = 2
_KIND: Final = re.compile(r'":"([^"]*)"')


@lru_cache(maxsize=65536)
def hashed(text: str) -> int:
    """Return halfMD5 of the text, as the engine computes it."""
    return int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[:8], "big")


def mixed(made: int, part: int) -> int:
    """Return intHash64(bitXor(made, part)), as the engine computes it."""
    x = made ^ part ^ 0x4CF2D2BAAE6DA887
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCD & _MASK
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return x ^ x >> 33


class Counts(NamedTuple):
    """What is counted of a call in a context, or of a context as a whole (then ``calls`` counts different tools)."""

    seen: int = 0
    n: int = 0
    gain: float = 0.0
    runs: int = 0
    won: int = 0
    calls: int = 0


class Known(Protocol):
    """Where counts are looked up."""

    def context(self, context: int, /) -> Counts | None:
        """Return what is counted of a context; None where it was never seen."""
        ...

    def call(self, context: int, call: int, /) -> Counts | None:
        """Return what is counted of a call in it; None where it was never made there."""
        ...


class Done(NamedTuple):
    """A step of the run so far: its tool, and whether it failed."""

    tool: str
    failed: bool = False


class Asked(NamedTuple):
    """A call that could be made: its tool and, where known, its template."""

    tool: str
    template: str = ""


@dataclass(frozen=True)
class Worth:
    """What a call is worth from here.

    ``lift`` ranks: how many times better runs went after it than after whatever else was done here, 1 where nothing is
    known of it. ``value`` is what runs earn after it, between 0 and 1, ``low`` and ``high`` its interval (Wilson, 95 %)
    and ``alpha``, ``beta`` the Beta distribution behind it, for agents that explore by drawing from it. ``seen`` are
    the runs that made the call in the most specific context that knows it, ``won`` those of them that went well, and
    ``level`` which context that is, 0 where none does. ``usual`` is how likely its tool is to come next by habit alone.
    """

    lift: float
    value: float
    low: float
    high: float
    alpha: float
    beta: float
    seen: int
    won: int
    level: int
    usual: float


def contexts(domain: str, task: str, past: Sequence[Done], tenant: str = "") -> tuple[int, ...]:
    """Return the ids of the contexts that a run is in, as the job makes them: four of the domain, three of the task."""
    last = (*past[:-4:-1], None, None, None)[:3]
    end = _NOTHING if last[0] is None else hashed(last[0].tool) ^ last[0].failed
    second, third = (_NOTHING if done is None else hashed(done.tool) for done in last[1:])
    any_task = mixed(mixed(hashed("next"), hashed(domain)), hashed(tenant))
    after_one = mixed(any_task, end)
    after_two = mixed(after_one, second)
    found = (any_task, after_one, after_two, mixed(after_two, third))
    if not task:
        return found
    same_task = mixed(any_task, hashed(task))
    task_after_one = mixed(same_task, end)
    return (*found, same_task, task_after_one, mixed(task_after_one, second))


def calls(asked: Asked) -> tuple[int, ...]:
    """Return the ids of a call: of its tool, of its template, and of the template with its literals."""
    tool = hashed(asked.tool)
    if not asked.template:
        return (tool,)
    coarse = without_literals(asked.template)
    ids = (tool, mixed(tool, hashed(coarse)))
    return ids if coarse == asked.template else (*ids, mixed(tool, hashed(asked.template)))


def failed(asked: Asked) -> tuple[int, ...]:
    """Return the ids under which the failures of a call are counted, by tool, template, and template with literals."""
    tool = hashed(asked.tool)
    coarse = without_literals(asked.template)
    kinds = ("", coarse, asked.template) if coarse != asked.template else ("", coarse) if coarse else ("",)
    return tuple(mixed(tool, hashed(f"failed {kind}")) for kind in kinds)


@lru_cache(maxsize=65536)
def grounding(template: str) -> str:
    """Return how far the arguments of a call are grounded in the task and in what was observed; empty: it has none."""
    if template in ("", "{}"):
        return ""
    if template.startswith('{"":"again"'):
        return "again"
    kinds = _KIND.findall(template)
    known = sum(kind in ("told", "seen") for kind in kinds)
    return "free" if not known else "grounded" if known == len(kinds) else "half"


@lru_cache(maxsize=65536)
def without_literals(template: str) -> str:
    """Return a template with a star for each literal."""
    start = template.find('":"=')
    if start < 0:
        return template
    end = template.index('"', start + 4)
    return f"{template[: start + 3]}*{without_literals(template[end:])}"


class _Found(NamedTuple):
    """What is known of a call here: its counts and means by context, and what they come to."""

    counts: Sequence[Counts | None]
    means: Sequence[float]
    lift: float
    prior: float
    deepest: Counts
    level: int


class Place:
    """Where a run is: what is known of its contexts, looked up once for all calls that it could make."""

    def __init__(self, known: Known, ids: Sequence[int]) -> None:
        self._known = known
        self.contexts = tuple(ids)
        self.totals = tuple(known.context(context) for context in self.contexts)
        self._values: list[float] = []
        self._value = 0.0
        for total, parent in zip(self.totals, _PARENTS, strict=False):
            n, gain = (total.n, total.gain) if total else (0, 0.0)
            value = (
                (gain + 0.1) / (n + 1) if parent < 0 else (gain + _STRENGTH * self._values[parent]) / (n + _STRENGTH)
            )
            self._values.append(value)
            self._value = value if total or parent < 0 else self._value
        self._weights = self._usual_weights()
        self._judged: dict[Asked, Worth] = {}
        self._tools: dict[int, _Found] = {}

    def worth(self, asked: Asked) -> Worth:
        """Return what this call is worth here; calls that differ in their values alone are judged once."""
        found = self._judged.get(asked)
        if found is None:
            found = self._judged[asked] = self._judge(asked)
        return found

    def _judge(self, asked: Asked) -> Worth:
        tool, *finer = calls(asked)
        fails, *finer_fails = self._failing((tool, *finer), failed(asked))
        found = self._tools.get(tool)
        if found is None:
            found = self._tools[tool] = self._tool(tool, 1 - _LOST * fails)
        usual = self._usual(found.counts)
        ratio = self._grounded(grounding(asked.template))
        for number, (call, often) in enumerate(zip(finer, finer_fails, strict=True)):
            ratio *= (1 - _LOST * often) / (1 - _LOST * fails)
            found = self._finer(call, found, ratio, least_runs=_LITERAL_RUNS if number else 1)
            ratio, fails = 1.0, often
        deepest = found.deepest
        share = deepest.runs / deepest.n if deepest.n else 0.0
        # One run with forty looks is one proof, not forty.
        strength = _strength(self._value)
        alpha = share * deepest.gain + strength * found.prior
        beta = share * (deepest.n - deepest.gain) + strength * (1 - found.prior)
        low, high = wilson(alpha, alpha + beta)
        known = found.counts[found.level - 1] if found.level else None
        runs, won = (known.runs, known.won) if known else (0, 0)
        value = min(1.0, self._value * found.lift)
        return Worth(found.lift, value, low, high, alpha, beta, runs, won, found.level, usual)

    def is_known(self) -> bool:
        """Return True if enough followed the last call to tell what can be done from here."""
        here = self.totals[1]
        return here is not None and here.seen >= _USUAL_FROM[1]

    def followed(self, tool: str) -> bool:
        """Return True if this tool ever came after the last call."""
        return self._known.call(self.contexts[1], hashed(tool)) is not None

    def _failing(self, made: Sequence[int], failures: Sequence[int]) -> Iterator[float]:
        """Yield how often a call fails, by tool and then by each template, of which the coarser is the prior."""
        often = 0.0
        for call, failure in zip(made, failures, strict=True):
            whole = self._known.call(self.contexts[0], call)
            bad = self._known.call(self.contexts[0], failure)
            if whole:
                often = ((bad.seen if bad else 0) + _WORKED * often) / (whole.seen + _WORKED)
            yield often

    def _tool(self, call: int, lift: float) -> _Found:
        means: list[float] = []
        prior, deepest, level = min(_MOST, self._value * lift), Counts(), 0
        counts = [
            self._known.call(context, call) if total else None
            for context, total in zip(self.contexts, self.totals, strict=True)
        ]
        for place, (here, total, value) in enumerate(zip(counts, self.totals, self._values, strict=True)):
            if total:
                prior = min(_MOST, value * lift)
                below = counts[place + 1] if place in _SPLIT else None
                lift, deepest = _moved(_without(here, below), prior, value) / value, here or Counts()
                level = place + 1 if here else level
            means.append(value * lift)
        return _Found(counts, means, lift, prior, deepest, level)

    def _grounded(self, kind: str) -> float:
        """Return how many times better runs went after calls that are as well grounded, whatever the tool."""
        here = self._known.call(self.contexts[0], mixed(hashed(""), hashed(kind))) if kind else None
        value = self._values[0]
        return _moved(here, value, value) / value

    def _finer(self, call: int, coarser: _Found, ratio: float, *, least_runs: int) -> _Found:
        """Return the same for a template of a call: how much better it did than the call as a whole, place by place."""
        counts: list[Counts | None] = [None] * len(self.contexts)
        means = list(coarser.means)
        prior, deepest, level = min(_MOST, self._value * coarser.lift * ratio), Counts(), 0
        for place in _TEMPLATE_CONTEXTS:
            whole = coarser.counts[place] if place < len(counts) else None
            here = self._known.call(self.contexts[place], call) if whole else None
            if here is None or here.runs < least_runs:
                continue
            mean, below = coarser.means[place], place + 1
            prior, value = min(_MOST, mean * ratio), self._values[place]
            inner = self._known.call(self.contexts[below], call) if below in _TEMPLATE_CONTEXTS else None
            means[place] = _moved(_without(here, inner), prior, value)
            # What the whole would come to if it were moved likewise: where there is one template only, it is the whole.
            ratio = means[place] / _moved(_without(whole, coarser.counts[below] if inner else None), mean, value)
            counts[place], deepest, level = here, here, place + 1
        if not level:
            return coarser._replace(lift=coarser.lift * ratio, prior=prior, deepest=deepest)
        return _Found(counts, means, coarser.lift * ratio, prior, deepest, level)

    def _usual_weights(self) -> list[float]:
        """Return how much each context counts in what is usual: its trust, times the distrust of more specific ones."""
        trusts = [
            0.0 if total is None or total.seen < least else total.seen / (total.seen + total.calls)
            for total, least in zip(self.totals, _USUAL_FROM, strict=False)
        ]
        return [
            trust * math.prod(1 - other for other, rank in zip(trusts, _SPECIFIC, strict=False) if rank > mine)
            for trust, mine in zip(trusts, _SPECIFIC, strict=False)
        ]

    def _usual(self, found: Sequence[Counts | None]) -> float:
        """Return how likely a tool is to come next (Witten, I. H. and Bell, T. C. 1991)."""
        weight = sum(self._weights)
        if not weight:
            return 0.0
        chance = sum(
            share * here.seen / total.seen
            for share, here, total in zip(self._weights, found, self.totals, strict=True)
            if here and total and total.seen
        )
        return chance / weight


def _strength(value: float) -> float:
    """Return as how many runs counts what is believed of a call beforehand, where others earn this much."""
    return _RUNS + _EARNING / value


def _without(here: Counts | None, below: Counts | None) -> Counts | None:
    """Return what was seen here but not in a context of this one, where it counts: what is seen once is one proof."""
    if here is None or below is None:
        return here
    n, runs = here.n - below.n, here.runs - below.runs
    return Counts(here.seen - below.seen, n, max(0.0, here.gain - below.gain), max(runs, min(n, 1)))


def _moved(here: Counts | None, mean: float, value: float) -> float:
    """Return what a call is worth by what is believed and what was seen of it, where others earn ``value``.

    Of one run with forty looks each is a fortieth of a proof.
    """
    if here is None or not here.n:
        return mean
    strength = _strength(value)
    return (here.runs * here.gain / here.n + strength * mean) / (here.runs + strength)


def wilson(successes: float, n: float) -> tuple[float, float]:
    """Return the score interval (Wilson, E. B. 1927) at 95 %."""
    share, square = successes / n, _Z * _Z
    middle = share + square / (2 * n)
    spread = _Z * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return max(0.0, (middle - spread) / (1 + square / n)), min(1.0, (middle + spread) / (1 + square / n))
