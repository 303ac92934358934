"""The list of episodes: which fit, in what order, and where the next page goes on."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from otel_episodes import UsageError
from otel_episodes_clickhouse import times
from otel_episodes_clickhouse.learning.formulas import active_formula

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_episodes_clickhouse.store.store import Store

Row = dict[str, Any]

SORTS: Final = ("started", "duration", "steps", "failed", "tokens", "cost", "reward")
OUTCOMES: Final = ("success", "partial", "failure", "abstained", "running", "abandoned", "unknown")
PAGE: Final = 50
_MOST: Final = 500
# Episodes that the jobs have not seen yet are read one by one: so many of them at most, the latest.
_MOST_FRESH: Final = 200
# So many are looked at first.
_LIKELY: Final = 150
_VERY_MANY: Final = 300_000
# Of the history drawn above the list.
_DAYS: Final = 60
# What the engine has as whole numbers, and how long they are.
_WHOLE: Final = 2**63
_LONGEST: Final = 19
_NO_FIGURE: Final = -(10**15)
_TEXTS: Final = (
    "text",
    "outcome",
    "agent",
    "domain",
    "tag",
    "tool",
    "since",
    "until",
    "reward_from",
    "reward_to",
    "cost",
    "after",
)


@dataclass(frozen=True)
class Filters:
    """What is asked for, as it stands in the address; an empty text does not filter.

    ``since`` and ``until`` are times as people type them (7d, 2026-01-31); ``tokens`` is at least so many, in and out,
    ``cost`` at least so many US dollars.
    ``after`` and ``after_rank`` are the last episode of the page before, see `Filters.following`.
    """

    text: str = ""
    outcome: str = ""
    agent: str = ""
    domain: str = ""
    tag: str = ""
    tool: str = ""
    since: str = ""
    until: str = ""
    reward_from: str = ""
    reward_to: str = ""
    cost: str = ""
    tokens: int = 0
    sort: str = "started"
    order: str = "desc"
    after: str = ""
    after_rank: int = 0
    limit: int = PAGE

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Filters:
        """Return the filters of an address; what cannot be read there does not filter."""
        texts = {name: query.get(name, "").strip()[:500] for name in _TEXTS}
        for name in ("reward_from", "reward_to", "cost"):
            texts[name] = texts[name] if _number(texts[name]) is not None else ""
        sort = query.get("sort", "")
        return cls(
            **texts,
            tokens=whole(query.get("tokens", ""), 0),
            sort=sort if sort in SORTS else "started",
            order="asc" if query.get("order") == "asc" else "desc",
            after_rank=whole(query.get("after_rank", ""), 0, signed=True),
            limit=min(_MOST, max(1, whole(query.get("limit", ""), PAGE))),
        )

    def asked(self) -> dict[str, str]:
        """Return what is asked for, without what is not: the address of the page."""
        usual = Filters()
        return {name: str(value) for name, value in asdict(self).items() if value != getattr(usual, name)}

    def following(self, row: Row) -> Filters:
        """Return the filters of the page after this row."""
        return replace(self, after=row["EpisodeId"], after_rank=row["Rank"])

    def sorted_by(self, sort: str) -> Filters:
        """Return the same from the first page, sorted so; the other way round where it is sorted so already."""
        order = "asc" if sort == self.sort and self.order == "desc" else "desc"
        return replace(self, sort=sort, order=order, after="", after_rank=0)

    def without(self, name: str) -> Filters:
        """Return the same from the first page, without one of the filters."""
        return replace(self, **{name: getattr(Filters(), name), "after": "", "after_rank": 0})

    @property
    def given(self) -> list[tuple[str, str]]:
        """Return the filters that are set, by name."""
        other = ("sort", "order", "after", "after_rank", "limit")
        return [(name, value) for name, value in self.asked().items() if name not in other]

    @property
    def rewarded(self) -> bool:
        """Return whether rewards have to be known to choose or sort."""
        return bool(self.reward_from or self.reward_to or self.sort == "reward")


def load(store: Store, filters: Filters) -> Row:
    """Return a page of episodes: ``Episodes`` (with ``Reward`` and ``Rank``), ``Next`` (filters or None), ``Fresh``."""
    formula = active_formula(store)
    fresh = [row["EpisodeId"] for row in store.query_named("page_changed", {"limit": _MOST_FRESH + 1})]
    settled = _settled(store, _parameters(filters, fresh, formula))
    ranks = {row["EpisodeId"]: row["Rank"] for row in settled}
    rows = _tagged(store, store.query_named("page_facts", {"ids": list(ranks)})) if ranks else []
    rows += [row for row in of_ids(store, fresh) if _fits(row, filters)]
    if filters.tool and fresh:
        using = {row["EpisodeId"] for row in store.query_named("page_using_tool", {"ids": fresh, "tool": filters.tool})}
        rows = [row for row in rows if row["EpisodeId"] in ranks or row["EpisodeId"] in using]
    rewards = _rewards(store, formula, [row["EpisodeId"] for row in rows])
    now = time.time_ns()
    for row in rows:
        row["Reward"] = rewards.get(row["EpisodeId"])
        row["Rank"] = ranks.get(row["EpisodeId"], _rank(row, filters))
        if row["Outcome"] == "running":
            row["DurationNs"] = max(0, now - row["StartTime"])
    rows = [row for row in rows if row["EpisodeId"] in ranks or _in_place(row, filters)]
    rows.sort(key=lambda row: (-row["Rank"], row["EpisodeId"]))
    page = rows[: filters.limit]
    return {
        "Episodes": page,
        "Next": filters.following(page[-1]) if len(rows) > filters.limit else None,
        "Fresh": len(fresh),
        "MoreFresh": len(fresh) > _MOST_FRESH,
    }


def _settled(store: Store, asked: Row) -> list[Row]:
    """Return the first episodes that fit, as the jobs last saw them, with their ranks.

    Which of all episodes used a tool takes the engine long, and so does, where there are very many, how each is
    rewarded. The first few without that question have mostly enough among them that fit.
    """
    limit = asked["limit"]
    if asked["tool"]:
        few = max(_LIKELY, 3 * limit)
        likely = _settled(store, {**asked, "tool": "", "limit": few})
        ids = [row["EpisodeId"] for row in likely]
        using = {row["EpisodeId"] for row in store.query_named("page_using_tool", {"ids": ids, "tool": asked["tool"]})}
        found = [row for row in likely if row["EpisodeId"] in using][:limit]
        if len(found) == limit or len(likely) < few:
            return found
    elif asked["sort"] == "reward" and store.query_named("page_totals")[0]["Episodes"] >= _VERY_MANY:
        best = store.query_named("page_best", {**asked, "limit": max(_LIKELY, 3 * limit)})
        # Whose rewards are known by now.
        others = {"sort": "started", "rewarded": bool(asked["reward_from"] or asked["reward_to"]), "after": ""}
        among = {**asked, **others, "among": [row["EpisodeId"] for row in best], "limit": len(best)}
        fit = {row["EpisodeId"] for row in store.query_named("page_ids", among)} if best else set()
        found = [row for row in best if row["EpisodeId"] in fit][:limit]
        if len(found) == limit:
            return found
    return store.query_named("page_ids", asked)


def of_ids(store: Store, ids: list[str]) -> list[Row]:
    """Return episodes as they are now, with all that is known of them."""
    if not ids:
        return []
    others = {row["EpisodeId"] for row in store.query_named("page_of_others", {"ids": ids})}
    own = [each for each in ids if each not in others]
    rows = _tagged(store, store.query_named("page_own_episodes", {"ids": own})) if own else []
    return rows + (store.query_named("page_other_episodes", {"ids": sorted(others)}) if others else [])


def _tagged(store: Store, rows: list[Row]) -> list[Row]:
    """Return rows with the tags that were added since, without those that were taken away."""
    said = store.query_named("page_tags", {"ids": [row["EpisodeId"] for row in rows]})
    since = {each["EpisodeId"]: each for each in said}
    for row in rows:
        if row["EpisodeId"] in since:
            later = since[row["EpisodeId"]]
            kept = [tag for tag in row["Tags"] if tag not in later["Removed"]]
            row["Tags"] = list(dict.fromkeys([*kept, *later["Added"]]))
    return rows


def choices(store: Store) -> dict[str, list[str]]:
    """Return by field what there is to filter by, the most frequent first."""
    found: dict[str, list[str]] = {"agent": [], "domain": [], "tag": [], "tool": []}
    for row in store.query_named("page_choices"):
        found[row["Field"]].append(row["Value"])
    return found


def history(store: Store) -> list[Row]:
    """Return the latest days with their ``Episodes``, ``Successes`` and ``Failures``, those without any among them."""
    offset = datetime.now().astimezone().utcoffset() or timedelta()
    found = store.query_named("page_history", {"ahead": round(offset.total_seconds()), "limit": _DAYS})
    if not found:
        return []
    by_day = {row["Day"]: row for row in found}
    last = date.fromisoformat(found[0]["Day"])
    first = max(date.fromisoformat(found[-1]["Day"]), last - timedelta(days=_DAYS - 1))
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    none = {"Episodes": 0, "Successes": 0, "Failures": 0}
    return [{**none, "Day": f"{day}", "Next": f"{day + timedelta(days=1)}", **by_day.get(f"{day}", {})} for day in days]


def _parameters(filters: Filters, fresh: list[str], formula: str) -> Row:
    asked = {name: value for name, value in asdict(filters).items() if name not in ("order", "limit")}
    return {
        **asked, "since": _moment(filters.since), "until": _moment(filters.until), "fresh": fresh,
        "formula": formula, "rewarded": filters.rewarded, "among": [], "direction": -1 if filters.order == "asc" else 1,
        "limit": filters.limit + 1,
    }  # fmt: skip


def _fits(row: Row, filters: Filters) -> bool:
    """Return whether an episode fits, as the statement page_ids has it; tools and rewards are not in the row."""
    since, until = _moment(filters.since), _moment(filters.until)
    return (
        (not filters.text or filters.text.lower() in row["Task"].lower() or row["EpisodeId"].startswith(filters.text))
        and filters.outcome in ("", row["Outcome"])
        and filters.agent in ("", row["AgentName"])
        and filters.domain in ("", row["Domain"])
        and (not filters.tag or filters.tag in row["Tags"])
        and (not since or row["StartTime"] >= since)
        and (not until or row["StartTime"] < until)
        and row["InputTokens"] + row["OutputTokens"] >= filters.tokens
        and (not filters.cost or (row["Cost"] is not None and row["Cost"] >= float(filters.cost)))
    )


def _in_place(row: Row, filters: Filters) -> bool:
    """Return whether an episode comes after the page before, and has a reward that fits."""
    low, high, reward = _number(filters.reward_from), _number(filters.reward_to), row["Reward"]
    if (low is not None or high is not None) and reward is None:
        return False
    if (low is not None and reward < low) or (high is not None and reward > high):
        return False
    place = (-row["Rank"], row["EpisodeId"])
    return not filters.after or place > (-filters.after_rank, filters.after)


def _rank(row: Row, filters: Filters) -> int:
    """Return the place of an episode, as the statement page_ids has it."""
    fractions = {"cost": row["Cost"], "reward": row["Reward"]}
    figures = {
        "duration": row["DurationNs"], "steps": row["Steps"], "failed": row["FailedSteps"],
        "tokens": row["InputTokens"] + row["OutputTokens"], "started": row["StartTime"],
        **{name: value if value is None else round(value * 1e6) for name, value in fractions.items()},
    }  # fmt: skip
    figure: int | None = figures[filters.sort]
    if figure is None:
        return _NO_FIGURE
    return -figure if filters.order == "asc" else figure


def _rewards(store: Store, formula: str, ids: list[str]) -> dict[str, float]:
    if not ids:
        return {}
    return {
        row["EpisodeId"]: row["Reward"] for row in store.query_named("page_rewards", {"formula": formula, "ids": ids})
    }


def _moment(text: str) -> int:
    """Return a time in nanoseconds since 1970; 0, no limit, for what is not one."""
    try:
        return times.since(text)
    except UsageError:
        return 0


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < 1e9 else None  # noqa: PLR2004  # also what is not finite


def whole(text: str, otherwise: int, *, signed: bool = False) -> int:
    """Return the whole number that a text is, or the other one where it is none."""
    digits = text.removeprefix("-") if signed else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST):
        return otherwise
    number = int(text)
    return number if abs(number) < _WHOLE else otherwise
