"""What models cost: the price list of ``genai-prices`` (the extra ``prices``), and prices of your own from a file.

The list is asked by provider and model as spans name them, in Python, once a model; what a call cost is worked out in
SQL (``internal_priced_spans``) by the list's own rules: the price of the day and the hour, tiers by the tokens that
went in, cached and reasoning tokens at prices of their own where they have any. Service tiers and batches, which spans
do not tell, are not told apart. Nothing is fetched: a newer list comes with a newer ``genai-prices``.
"""

from __future__ import annotations

import json
import math
import tomllib
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time
from fnmatch import fnmatchcase
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from otel_episodes.exceptions import UsageError
from otel_episodes_clickhouse import sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from otel_episodes_clickhouse.store.store import Store

# Names of the conventions that the list does not know.
_PROVIDERS: Final = {"x_ai": "x-ai", "azure.ai.openai": "azure", "azure.ai.inference": "azure", "gcp.gen_ai": "google"}
_KEYS: Final = {
    "Input": "input", "Output": "output", "CacheRead": "cache_read", "CacheWrite": "cache_write",
    "Reasoning": "reasoning",
}  # fmt: skip
_LISTED: Final = {**{name: f"{key}_mtok" for name, key in _KEYS.items()}, "Reasoning": "output_reasoning_mtok"}
_OWN: Final = frozenset((*_KEYS.values(), "provider", "model", "since", "request"))
_FILE_BYTES: Final = 1_000_000


@dataclass(frozen=True)
class Tier:
    """US dollars for a million tokens, in a call with more than so many tokens in."""

    Over: int
    Price: float


@dataclass(frozen=True)
class Price:
    """What a model costs from a moment on (Unix time), or between two seconds of the UTC day, as the table has it."""

    Since: int
    FromSecond: int
    ToSecond: int
    Input: tuple[Tier, ...]
    Output: tuple[Tier, ...]
    CacheRead: tuple[Tier, ...]
    CacheWrite: tuple[Tier, ...]
    Reasoning: tuple[Tier, ...]
    Request: float

    @property
    def known(self) -> bool:
        """Whether tokens or requests have a price; some models are paid by the hour or the page."""
        return bool(self.Input or self.Output or self.Request)


@dataclass(frozen=True)
class OwnPrice:
    """A price of the user's: of models whose names match, of one provider or of any."""

    provider: str
    model: str
    price: Price


def read(path: Path) -> str:
    """Return a file of prices as it is kept in a store; raise `UsageError` for one that cannot be used."""
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_BYTES + 1)
        if len(content) > _FILE_BYTES:
            raise UsageError(f"--prices {path}: longer than {_FILE_BYTES:,} bytes")
        entries = tomllib.loads(content.decode()).get("price", [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"cannot read --prices {path}: {error}") from error
    text = json.dumps(entries, default=str)
    own_prices(text)
    return text


def own_prices(text: str) -> tuple[OwnPrice, ...]:
    """Return the prices in what `read` returned; raise `UsageError` for what is no price."""
    entries = json.loads(text) if text else []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError("a file of prices is a list of tables [[price]]")
    return tuple(_own(entry) for entry in entries)


def _own(entry: dict[str, Any]) -> OwnPrice:
    model = entry.get("model")
    if not isinstance(model, str) or not model:
        raise UsageError(f"a price needs a model, such as model = 'gpt-*': {entry}")
    unknown = sorted(entry.keys() - _OWN)
    if unknown:
        raise UsageError(f"the price of {model} has {', '.join(unknown)}; known are {', '.join(sorted(_OWN))}")
    try:
        since = datetime.combine(date.fromisoformat(str(entry.get("since", "1970-01-01"))), time(), UTC)
        tiers = {name: _tiers_of(entry.get(key)) for name, key in _KEYS.items()}
        price = Price(int(since.timestamp()), 0, 0, **tiers, Request=_dollars(entry.get("request", 0)))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"the price of {model}: {error}; prices are dollars for a million tokens, such as input = 2.5, or tiers "
            "[[0, 2.5], [200000, 5.0]], and since is a date"
        ) from error
    return OwnPrice(str(entry.get("provider", "")).lower(), model.lower(), price)


def _tiers_of(value: Any) -> tuple[Tier, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        return (Tier(0, _dollars(value)),)
    tiers = tuple(sorted((Tier(int(over), _dollars(price)) for over, price in value), key=lambda tier: tier.Over))
    if not tiers or tiers[0].Over != 0:
        raise ValueError("the first tier is that over 0 tokens")
    return tiers


def _dollars(value: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number) or number < 0:
        raise ValueError(f"{value!r} is not a price")
    return number


def load() -> None:
    """Load the price list, so that it is there when files can no longer be read; nothing where it is not installed."""
    with suppress(ImportError):
        import_module("genai_prices.data_snapshot").get_snapshot()


def listed(provider: str, model: str) -> tuple[str, tuple[Price, ...]]:
    """Return where a price list has a model and what it costs; nothing where it has not, or is not installed."""
    try:
        snapshots = import_module("genai_prices.data_snapshot")
    except ImportError:
        return "", ()
    asked = _PROVIDERS.get(provider.lower(), provider) or None
    try:
        found, info = snapshots.get_snapshot().find_provider_model(model, None, asked, None)
    except LookupError:
        return "", ()
    conditions = info.prices if isinstance(info.prices, list) else [None]
    prices = tuple(
        _listed(info.prices if condition is None else condition.prices, condition and condition.constraint)
        for condition in conditions
    )
    return (f"{found.id}/{info.id}", prices) if any(price.known for price in prices) else ("", ())


def _listed(price: Any, constraint: Any) -> Price:
    since, begins, ends = 0, 0, 0
    if (day := getattr(constraint, "start_date", None)) is not None:
        since = max(0, int(datetime.combine(day, time(), UTC).timestamp()))
    elif constraint is not None:
        begins, ends = (_second_of_day(moment) for moment in (constraint.start_time, constraint.end_time))
    tiers = {name: _listed_tiers(getattr(price, key, None)) for name, key in _LISTED.items()}
    request = getattr(price, "requests_kcount", None)
    dollars = 0.0 if request is None else float(getattr(request, "base", request)) / 1000
    return Price(since, begins, ends, **tiers, Request=dollars)


def _second_of_day(moment: time) -> int:
    """Return the second of the UTC day; the list has times of whole seconds, without a zone in UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    utc = datetime.combine(date(1970, 1, 2), aware).astimezone(UTC)
    return utc.hour * 3600 + utc.minute * 60 + utc.second


def _listed_tiers(value: Any) -> tuple[Tier, ...]:
    if value is None:
        return ()
    base = Tier(0, float(getattr(value, "base", value)))
    return (base, *(Tier(tier.start, float(tier.price)) for tier in getattr(value, "tiers", ())))


def rows(models: Iterable[Mapping[str, str]], own: tuple[OwnPrice, ...]) -> str:
    """Return the rows of ``internal_prices`` for these models, as lines of JSON: your own first, else the list's."""
    return "\n".join(
        json.dumps({"Provider": model["Provider"], "Model": model["Model"], **_row(model, own)}) for model in models
    )


def _row(model: Mapping[str, str], own: tuple[OwnPrice, ...]) -> dict[str, Any]:
    provider, name = model["Provider"].lower(), model["Model"].lower()
    mine = [each.price for each in own if each.provider in ("", provider) and fnmatchcase(name, each.model)]
    # Sorted, so that the last that applies is the latest.
    source, prices = (
        ("own", tuple(sorted(mine, key=lambda price: price.Since)))
        if mine
        else listed(model["Provider"], model["Model"])
    )
    return {"Source": source, "Prices": [asdict(price) for price in prices]}


def update(store: Store, snapshot: str, file: str | None = None) -> tuple[int, int]:
    """Write the prices of the models that were called; return how many models there are and how many rows changed.

    ``file`` is what `read` returned: prices of your own, used from now on; an empty list of them forgets them.
    """
    if file is not None:
        store.execute(sql.named("set_own_prices"), {"prices": file})
    models = store.query_named("prices_wanted")
    if not models:
        return 0, 0
    own = own_prices(store.query_named("own_prices")[0]["Prices"])
    parameters = {"rows": rows(models, own), "snapshot": snapshot}
    store.execute(sql.named("prices_write"), parameters)
    return len(models), int(store.query_named("prices_written", parameters)[0]["Rows"])
