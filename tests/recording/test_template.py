"""What kind of call a step made."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from learning_data import Episode, rows_of

from otel_episodes._template import Words, call_key, template
from otel_episodes_clickhouse import run_jobs
from otel_episodes_clickhouse.learning.ranking import grounding

if TYPE_CHECKING:
    from otel_episodes_clickhouse import Store
    from otel_episodes_clickhouse.spool.row import Row

TOLD = Words("Cancel order W-4821 of Mia Kovač, and keep the voucher for 300 EUR")
SEEN = Words('{"order": "W-4821", "items": ["lamp-77", "desk-12"], "carrier": "Ostwind"}')


def kinds(**arguments: object) -> str:
    """Return the template of a call with these arguments."""
    return template(arguments, told=TOLD, seen=SEEN)


def test_each_argument_is_where_its_value_came_from() -> None:
    assert kinds(order="w-4821", who="Mia Kovač", item="lamp-77", amount=300) == (
        '{"amount":"told","item":"seen","order":"told","who":"told"}'
    )


def test_a_value_that_came_from_nowhere_is_its_literal_or_its_shape() -> None:
    assert kinds(mode="express", days=14, sure=True, note="two\nlines", rate=1.5, of=None, long="x" * 25) == (
        '{"days":"=14","long":"text","mode":"=express","note":"text","of":"none","rate":"=1.5","sure":"=true"}'
    )


def test_what_is_in_any_json_and_what_was_masked_came_from_nowhere() -> None:
    seen = Words('{"open": true, "total": 300, "card": "[REDACTED]"}')
    found = template({"now": True, "total": 300.0, "card": "[REDACTED]"}, told=Words(), seen=seen)
    assert found == '{"card":"masked","now":"=true","total":"seen"}'


def test_a_value_of_one_or_two_characters_is_in_any_text_by_chance() -> None:
    assert kinds(room="W", unit="of") == '{"room":"=W","unit":"=of"}'


def test_a_list_came_from_where_all_of_it_came_from() -> None:
    assert kinds(items=["lamp-77", "desk-12"]) == '{"items":"seen"}'
    assert kinds(items=["W-4821", "desk-12"]) == '{"items":"seen"}'
    assert kinds(items=["lamp-77", "chair-1"], by={"who": "somebody else"}) == '{"by":"map","items":"list"}'


def test_only_whole_words_count() -> None:
    assert kinds(order="W-48") == '{"order":"=W-48"}'


def test_the_same_call_once_more_is_another_kind_of_call() -> None:
    first = call_key("get", {"a": 1, "b": [2]})
    assert first == call_key("get", {"b": [2], "a": 1})
    assert first != call_key("get", {"a": 2, "b": [2]})
    assert template({"a": 1}, told=TOLD, seen=SEEN, again=True) == '{"":"again","a":"=1"}'


def test_what_is_kept_of_a_run_is_bounded() -> None:
    words = Words(" ".join(f"word{n}" for n in range(50_000)))
    words.add("one-more")
    assert words.hold(["word49999"])
    assert not words.hold(["more"])
    many = template({f"argument{n:02}": n for n in range(50)}, told=TOLD, seen=SEEN)
    assert many.count(":") == 20


def value(draw: random.Random) -> Any:
    """Return a value that an argument may have."""
    plain: list[Any] = [
        "order-77",
        "Zoë Ünal",
        "fast",
        "ab",
        "",
        "two\nlines",
        'a "quoted" one',
        "a/b",
        12,
        4711,
        0.5,
        4711.0,
        "[REDACTED]",
        True,
        None,
    ]
    return draw.choice([*plain, [draw.choice(plain), "order-77"], {"who": draw.choice(plain)}, "long " * 9])


def as_logged(row: Row) -> Row:
    """Return a step as `log_step` writes it, whose action is its one argument, in half of the runs."""
    action = row.span_attributes.get("episode.step.action")
    if action is None or row.span_attributes["episode.id"].endswith(tuple("13579")):
        return row
    others = {key: value for key, value in row.span_attributes.items() if key != "episode.step.action"}
    wrapped = json.dumps({"action": action}, ensure_ascii=False)
    return row._replace(span_attributes={**others, "gen_ai.tool.call.arguments": wrapped})


def test_the_job_makes_the_templates_that_python_makes(storage_store: Store) -> None:
    draw = random.Random(3)
    texts = [
        "order-77 of Zoë Ünal",
        "nothing at all",
        '{"who": "4711", "how": "two lines, fast", "sure": true, "card": "[REDACTED]"}',
        "",
    ]
    runs, expected = [], {}
    for number in range(30):
        calls = [{draw.choice(("id", "who", "na me")): value(draw) for _ in range(draw.randrange(4))} for _ in range(6)]
        observed = [draw.choice(texts) for _ in calls]
        task = draw.choice(texts)
        runs.append(
            Episode(
                f"kind-{number}", task=task, domain="kinds", steps=[(draw.choice(("get", "set")), True) for _ in calls],
                actions={place: json.dumps(call, ensure_ascii=False) for place, call in enumerate(calls)},
                observations=dict(enumerate(observed)),
            )
        )  # fmt: skip
        told, seen, made, kinds = Words(task), Words(), set(), []
        for (tool, _), call, observation in zip(runs[-1].steps, calls, observed, strict=True):
            key = call_key(tool, call)
            kinds.append(template(call, told=told, seen=seen, again=key in made))
            made.add(key)
            seen.add(observation)
        expected[runs[-1].id] = kinds
    storage_store.insert_rows([as_logged(row) for run in runs for row in rows_of(run)])
    run_jobs(storage_store, "values")
    rows = storage_store.query("SELECT EpisodeId, StepTemplates FROM internal_sequences FINAL WHERE Domain = 'kinds'")
    found = {row["EpisodeId"]: row["StepTemplates"] for row in rows}
    assert found == expected
    kinds = Counter(grounding(kind) for templates in expected.values() for kind in templates)
    asked = "SELECT Template, sum(Seen) AS Steps FROM internal_values FINAL WHERE Tool = '' GROUP BY Template"
    assert {row["Template"]: row["Steps"] for row in storage_store.query(asked)} == {
        kind: count for kind, count in kinds.items() if kind
    }
