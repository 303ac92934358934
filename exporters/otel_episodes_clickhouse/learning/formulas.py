"""Which reward is in use: the formula that computes it, or the score from outside."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_episodes.exceptions import UsageError
from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.errors import QueryError

if TYPE_CHECKING:
    from otel_episodes_clickhouse.store.store import Store


DEFAULT_FORMULA: Final = "v2"
_BUILT_IN: Final = {"parity-1": "internal_reward_parity_1", "v2": "internal_reward_v2"}
_COMPONENTS: Final = ("Total", "Base", "Abstention", "Efficiency", "ComplexityBonus", "Quality", "LearningBonus")
_NUMBER: Final = re.compile(r"^(?:LowCardinality\()?(?:Nullable\()?(?:U?Int\d+|B?Float\d+|Decimal.*|Bool)\)*$")
_CODE_SYNTAX: Final = 62


class FormulaError(UsageError):
    """A reward formula that cannot be used; the message says what is missing."""


@dataclass(frozen=True)
class Formula:
    """A reward formula: its version name, and the view that computes it."""

    name: str
    view: str
    text: str | None = None


def formula_named(text: str) -> Formula:
    """Return a formula by its name, or read it from a ``.sql`` file; its version is then the file's name and hash."""
    if text in _BUILT_IN:
        return Formula(text, _BUILT_IN[text])
    if not text.endswith(".sql"):
        raise FormulaError(f"no formula {text!r}: use {', '.join(_BUILT_IN)}, or a file that ends in .sql")
    path = Path(text)
    try:
        body = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FormulaError(f"cannot read the formula {text}: {error}") from error
    named = sql.parse(body)
    if len(named) > 1:
        raise FormulaError(f"{text} holds {len(named)} statements: a formula is one SELECT")
    select = (named[0].text if named else body).strip().rstrip(";").rstrip()
    digest = hashlib.sha256(select.encode()).hexdigest()
    stem = re.sub(r"[^\w.-]+", "-", path.stem)[:40]
    return Formula(f"{stem}@{digest[:8]}", f"internal_reward_user_{digest[:16]}", select)


def install_formula(store: Store, formula: Formula) -> None:
    """Make a user's formula a view; raise `FormulaError` when it does not parse or lacks a column."""
    if formula.text is None:
        return
    # The one place where our text meets another: a view has to be created from the user's own SELECT.
    view = sql.Statement("formula", sql.named("formula_view").text.replace("SELECT 1", formula.text))
    try:
        store.query_named("formula_parses", {"text": formula.text})
        store.execute(view, {"formula_view": formula.view})
    except QueryError as error:
        what = "does not parse" if error.code == _CODE_SYNTAX else "is refused"
        raise FormulaError(f"formula {formula.name} {what}: {error}") from error
    types = {row["Name"]: row["Type"] for row in store.query_named("view_columns", {"table": formula.view})}
    missing = [name for name in ("EpisodeId", *_COMPONENTS) if name not in types]
    if missing:
        raise FormulaError(
            f"formula {formula.name} has no column {', '.join(missing)}; it needs all of the built-in ones"
        )
    wrong = [f"{name} {types[name]}" for name in _COMPONENTS if not _NUMBER.match(types[name])]
    if wrong:
        raise FormulaError(f"formula {formula.name}: {', '.join(wrong)} must be a number")


def active_formula(store: Store) -> str:
    """Return the name of the formula that patterns and reflections use."""
    return store.query_named("active_formula")[0]["Formula"] or DEFAULT_FORMULA


@dataclass(frozen=True)
class RewardUse:
    """Which reward is used: the computed one, or the score from outside, a success from ``success_at`` on."""

    external: bool
    success_at: float

    def __str__(self) -> str:
        return f"external, success from {self.success_at:g}" if self.external else "computed"


def reward_use(store: Store) -> RewardUse:
    """Return which reward patterns, the outlook and the ``rewards`` views use."""
    row = store.query_named("reward_use")[0]
    return RewardUse(bool(row["External"]), row["SuccessAt"])


def use_reward(store: Store, reward: str | None, success_at: float | None = None) -> RewardUse:
    """Choose which reward is used from now on; None leaves what is. What depends on it changes with the next run."""
    now = reward_use(store)
    if reward not in (None, "computed", "external"):
        raise UsageError(f"no reward {reward!r}: there are computed and external")
    if success_at is not None and not math.isfinite(success_at):
        raise UsageError(f"success at {success_at}: it must be a finite number")
    external = now.external if reward is None else reward == "external"
    if success_at is not None and not external:
        raise UsageError(f"success at {success_at} is about scores from outside: choose the reward external with it")
    chosen = RewardUse(external, now.success_at if success_at is None else success_at)
    if chosen != now:
        source = "external" if chosen.external else "computed"
        store.execute(sql.named("set_reward_use"), {"reward": source, "success_at": repr(chosen.success_at)})
    return chosen


def chosen_formula(store: Store, formula: str | None) -> Formula:
    """Return the formula of that name or file, made a view if it is a user's; None: the one in use."""
    if formula is not None:
        chosen = formula_named(formula)
        install_formula(store, chosen)
        return chosen
    name = active_formula(store)
    if name in _BUILT_IN:
        return formula_named(name)
    digest = name.rpartition("@")[2]
    views = [
        row["Name"] for row in store.query_named("user_formula_views", {"prefix": f"internal_reward_user_{digest}"})
    ]
    if not views:
        raise FormulaError(f"the formula {name} is in use but its view is gone: name it again with --formula")
    return Formula(name, views[0], "")
