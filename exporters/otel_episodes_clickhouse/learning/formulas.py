"""Which reward is in use: the formula that computes it, or the score from outside."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_episodes.exceptions import UsageError
from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.errors import QueryError, StoreError
from otel_episodes_clickhouse.store import read_only_sql

if TYPE_CHECKING:
    from otel_episodes_clickhouse.store.store import Store


DEFAULT_FORMULA: Final = "v2"
_BUILT_IN: Final = {
    "parity-1": "internal_reward_parity_1",
    "v2": "internal_reward_v2",
    "v2-cost": "internal_reward_v2_cost",
}
_COMPONENTS: Final = ("Total", "Base", "Abstention", "Efficiency", "ComplexityBonus", "Quality", "LearningBonus")
_NUMBER: Final = re.compile(r"^(?:LowCardinality\()?(?:Nullable\()?(?:U?Int\d+|B?Float\d+|Decimal.*|Bool)\)*$")
_CODE_SYNTAX: Final = 62
_FORMULA_BYTES: Final = 1_000_000


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
        body = _read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise FormulaError(f"cannot read the formula {text}: {error}") from error
    named = sql.parse(body)
    if len(named) > 1:
        raise FormulaError(f"{text} holds {len(named)} statements: a formula is one SELECT")
    select = (named[0].text if named else body).strip().rstrip(";").rstrip()
    digest = hashlib.sha256(select.encode()).hexdigest()
    stem = re.sub(r"[^\w.-]+", "-", path.stem)[:40]
    return Formula(f"{stem}@{digest[:8]}", f"internal_reward_user_{digest[:16]}", select)


def _read_text(path: Path) -> str:
    """Return the text of a file; raise OSError for what has no end, and for more than anybody writes by hand."""
    with path.open("rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        content = file.read(_FORMULA_BYTES + 1)
    if len(content) > _FORMULA_BYTES:
        raise OSError(errno.EFBIG, f"longer than {_FORMULA_BYTES:,} bytes", str(path))
    return content.decode("utf-8")


def install_formula(store: Store, formula: Formula) -> None:
    """Make a user's formula a view; raise `FormulaError` when it asks for more than the store, or lacks a column.

    It is looked at before there is a view of it: what is refused leaves nothing behind.
    """
    if formula.text is None:
        return
    # The one place where our text meets another: a view has to be created from the user's own SELECT.
    select = sql.named("formula_select").text.replace("SELECT 1", formula.text)
    types = _columns(store, formula, select)
    missing = [name for name in ("EpisodeId", *_COMPONENTS) if name not in types]
    if missing:
        raise FormulaError(
            f"formula {formula.name} has no column {', '.join(missing)}; it needs all of the built-in ones"
        )
    wrong = [f"{name} {types[name]}" for name in _COMPONENTS if not _NUMBER.match(types[name])]
    if wrong:
        raise FormulaError(f"formula {formula.name}: {', '.join(wrong)} must be a number")
    view = sql.Statement("formula", f"{sql.named('formula_view').text}\n{select}")
    try:
        store.execute(view, {"formula_view": formula.view})
    except QueryError as error:
        raise FormulaError(f"formula {formula.name} is refused: {error}") from error


def _columns(store: Store, formula: Formula, select: str) -> dict[str, str]:
    text = formula.text or ""
    try:
        store.query_named("formula_parses", {"text": text})
        read_only_sql.check_select(store, text)
        return store.columns_of(select)
    except StoreError as error:
        code = error.code if isinstance(error, QueryError) else None
        what = "does not parse" if code == _CODE_SYNTAX else "is refused"
        raise FormulaError(f"formula {formula.name} {what}: {error}") from error


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


def chosen_formula(store: Store, formula: str | Formula | None) -> Formula:
    """Return the formula of that name or file, made a view if it is a user's; None: the one in use."""
    if formula is not None:
        chosen = formula if isinstance(formula, Formula) else formula_named(formula)
        install_formula(store, chosen)
        return chosen
    name = active_formula(store)
    if name in _BUILT_IN:
        return formula_named(name)
    digest = name.rpartition("@")[2]
    views = store.query_named("user_formula_views", {"prefix": f"internal_reward_user_{digest}"})
    if not views:
        raise FormulaError(f"the formula {name} is in use but its view is gone: name it again with --formula")
    try:
        # A version before this one let more pass.
        read_only_sql.check_select(store, views[0]["Statement"])
    except QueryError as error:
        raise FormulaError(f"the formula {name} is in use and is refused: {error}") from error
    return Formula(name, views[0]["Name"], "")
