"""What kind of call a step made."""

from __future__ import annotations

from otel_episodes._template import Words, call_key, template

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
    words = Words(" ".join(f"word{n}" for n in range(10_000)))
    assert words.hold("word4095")
    assert not words.hold("word4096")
    many = template({f"argument{n:02}": n for n in range(50)}, told=TOLD, seen=SEEN)
    assert many.count(":") == 20
