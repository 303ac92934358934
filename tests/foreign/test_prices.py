"""What calls of models cost: as the price list itself works it out, at prices of one's own, and priced again."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from foreign_spans import MS, T0, agent, found, model
from genai_prices import Usage, data_snapshot

from otel_episodes import UsageError
from otel_episodes_clickhouse.learning import jobs, prices

if TYPE_CHECKING:
    from pathlib import Path

    from otel_episodes_clickhouse import Store
    from otel_episodes_clickhouse.spool.row import Row

CALLS = 300
# The first second of 2024 and of 2027, between which the list knows several prices of one model.
SPAN = (1_704_067_200, 1_798_761_600)
COSTS = "SELECT SpanId, Cost FROM model_calls WHERE EpisodeId = {id:String} ORDER BY SpanId"


def call(trace: str, name: str, provider: str, name_of_model: str, at: int, counts: dict[str, int]) -> Row:
    """Return the span of a call of that model at a second."""
    said = {
        "gen_ai__provider__name": provider, "gen_ai__response__model": name_of_model,
        "gen_ai__usage__cache_read__input_tokens": str(counts["cache_read_tokens"]),
        "gen_ai__usage__cache_creation__input_tokens": str(counts["cache_write_tokens"]),
        "gen_ai__usage__reasoning__output_tokens": str(counts["output_reasoning_tokens"]),
    }  # fmt: skip
    row = model(trace, name, tokens=(counts["input_tokens"], counts["output_tokens"]), **said)
    return row._replace(timestamp=at * 10**9)


def drawn(generator: random.Random) -> dict[str, int]:
    """Return counts that fit together, some of them on either side of a tier."""
    tokens_in = generator.choice((generator.randint(1, 5_000), generator.randint(100_000, 500_000), 200_000, 200_001))
    tokens_out = generator.randint(0, 8_000)
    read = generator.choice((0, generator.randint(0, tokens_in)))
    return {
        "input_tokens": tokens_in, "cache_read_tokens": read,
        "cache_write_tokens": generator.choice((0, generator.randint(0, tokens_in - read))),
        "output_tokens": tokens_out, "output_reasoning_tokens": generator.choice((0, generator.randint(0, tokens_out))),
    }  # fmt: skip


def test_a_cost_is_what_the_price_list_itself_works_out(storage_store: Store) -> None:
    generator = random.Random(17)
    snapshot = data_snapshot.get_snapshot()
    known = [(p.id, m.id) for p in snapshot.providers for m in p.models if prices.listed(p.id, m.id)[1]]
    tiered = [
        (p, m) for p, m in known
        if any(len(price.Input) > 1 or price.FromSecond or price.ToSecond for price in prices.listed(p, m)[1])
    ]  # fmt: skip
    rows, wanted = [agent("listed", ms=900)], {}
    for number in range(CALLS):
        provider, name = generator.choice(tiered if number % 3 == 0 else known)
        at, counts, span = generator.randint(*SPAN), drawn(generator), f"{number:04}"
        rows.append(call("listed", span, provider, name, at, counts))
        moment = datetime.fromtimestamp(at, UTC)
        wanted[span] = snapshot.calc(Usage(**counts), name, provider, None, moment).total_price
    storage_store.insert_rows(rows)
    jobs.run(storage_store, "prices")
    costs = {row["SpanId"]: row["Cost"] for row in storage_store.query(COSTS, {"id": "listed"})}
    assert costs == {span: pytest.approx(float(cost), rel=1e-9, abs=1e-12) for span, cost in wanted.items()}
    assert sum(cost > 0 for cost in costs.values()) > CALLS * 0.9
    (episode,) = storage_store.query("SELECT Cost FROM episodes WHERE EpisodeId = 'listed'")
    assert episode["Cost"] == pytest.approx(sum(costs.values()))


NOTHING = {"cache_read_tokens": 0, "cache_write_tokens": 0, "output_tokens": 0, "output_reasoning_tokens": 0}


def run_of(trace: str, *models: tuple[str, str], **counts: int) -> list[Row]:
    """Return an agent's run that calls these models, each with a million tokens."""
    given = {**NOTHING, "input_tokens": 1_000_000, **counts}
    second = T0 // 10**9
    return [agent(trace, ms=900), *(call(trace, f"m{n}", *each, second, given) for n, each in enumerate(models))]


def cost_of(store: Store, trace: str) -> Any:
    return store.query("SELECT Cost FROM episodes WHERE EpisodeId = {id:String}", {"id": trace})[0]["Cost"]


def test_what_nobody_knows_is_not_free_and_has_a_price_once_a_file_says_so(
    storage_store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "prices.toml"
    storage_store.insert_rows([
        *run_of("unknown", ("acme", "anvil-2")), *run_of("both", ("acme", "anvil-2"), ("openai", "gpt-4o")),
        *run_of("impossible", ("openai", "gpt-4o"), cache_read_tokens=2_000_000),
    ])  # fmt: skip
    jobs.run(storage_store, "facts", overlap_seconds=0)
    costs = "SELECT EpisodeId, Cost FROM internal_facts FINAL WHERE EpisodeId IN ('unknown', 'both') ORDER BY EpisodeId"
    assert [row["Cost"] for row in storage_store.query(costs)] == [None, None]
    assert [cost_of(storage_store, name) for name in ("unknown", "both", "impossible")] == [None, None, None]
    assert storage_store.query_named("prices_unknown") == [{"Provider": "acme", "Model": "anvil-2"}]

    file.write_text("""
        [[price]]
        model = "anvil-*"
        input = [[0, 3.0], [500000, 4.0]]
        [[price]]
        provider = "Acme"
        model = "anvil-*"
        since = 2026-06-01
        input = 99
    """)
    jobs.run(storage_store, "facts", prices=prices.read(file), overlap_seconds=0)
    assert cost_of(storage_store, "unknown") == 4.0
    # The jobs have read again what a price has changed of, and only that.
    assert [row["Cost"] for row in storage_store.query(costs)] == [pytest.approx(4.0 + 2.5), 4.0]
    (_, facts) = jobs.run(storage_store, "facts", overlap_seconds=0)
    assert facts.written == 0

    file.write_text("")
    jobs.run(storage_store, "prices", prices=prices.read(file))
    assert cost_of(storage_store, "unknown") is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[[price]]\nmodel = "x"\ninput = -1', "the price of x: -1 is not a price"),
        ('[[price]]\nmodel = "x"\ninputs = 1', "the price of x has inputs; known are cache_read"),
        ("[[price]]\ninput = 1", "a price needs a model"),
        ('[[price]]\nmodel = "x"\ninput = [[5, 1]]', "the first tier is that over 0 tokens"),
        ("price = 5", "a list of tables"),
        ("price", "cannot read --prices"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_list_of_prices_is_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "prices.toml").write_text(text)
    with pytest.raises(UsageError, match=why):
        prices.read(tmp_path / "prices.toml")


def test_the_same_name_in_the_conventions_and_in_the_list() -> None:
    assert prices.listed("x_ai", "grok-4")[0].startswith("x-ai/")
    assert prices.listed("gcp.gemini", "gemini-2.5-pro")[0].startswith("google/")
    assert prices.listed("", "claude-sonnet-4-5-20250929")[0].startswith("anthropic/")
    # Whoever serves it, it is not the provider's price.
    assert prices.listed("somebody", "gpt-4o") == ("", ())


def test_a_run_that_cost_less_than_usual_earns_more_under_the_formula_that_counts_cost(storage_store: Store) -> None:
    rows = []
    for number, tokens in enumerate((1_000, 1_000, 1_000, 1_000, 1_000, 40)):
        rows += run_of(f"paid{number}", ("openai", "gpt-4o"), input_tokens=tokens * 1000)
    storage_store.insert_rows([row._replace(timestamp=row.timestamp + 5 * MS) for row in rows])
    jobs.run(storage_store, "reflections", formula="v2-cost", full=True)
    under = "Formula = 'v2-cost' AND EpisodeId IN ('paid0', 'paid5')"
    asked = f"SELECT Efficiency FROM rewards WHERE {under} ORDER BY EpisodeId"
    usual, cheap = (row["Efficiency"] for row in storage_store.query(asked))
    assert usual < cheap
    said = storage_store.query("SELECT Successes FROM reflections WHERE EpisodeId = 'paid5'")[0]["Successes"]
    assert any(text.startswith("Cost 0.1 dollars where about ") for text in said), said
    assert (found(storage_store, "paid5") or {})["Outcome"] == "success"
