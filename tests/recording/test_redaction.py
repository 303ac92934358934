"""What is taken for a secret, what is not, and at what cost."""

from __future__ import annotations

import json
import random
import re
import string
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.redaction import left
from benchmarks.redaction_corpus import INNOCENT, alike, secrets
from benchmarks.redaction_tokens import TOKENS, made
from otel_episodes import Redactor, configure, current_step, episode, log_step, step
from otel_episodes._redaction import alone, cards, commands, forms, hints, kinds, named, tables, tokens
from otel_episodes._settings import from_environment
from otel_episodes.testing import capture_episodes

sre_parser: Any = re._parser  # type: ignore[attr-defined]  # the only way to see what a pattern is made of

if TYPE_CHECKING:
    from collections.abc import Callable

MADE = list(secrets(seed=7, rounds=3))


def test_secrets_of_every_kind_are_masked_wherever_they_stand() -> None:
    redactor = Redactor()
    assert len(MADE) >= 150
    assert [(kind, text) for kind, text, secret in MADE if left(redactor.text(text), secret)] == []


def test_texts_that_only_look_like_it_are_left_alone() -> None:
    redactor = Redactor()
    assert len(set(INNOCENT)) >= 150
    assert [text for text in INNOCENT if redactor.text(text) != text] == []


def test_tokens_of_unknown_services_are_masked_where_nothing_tells_of_them() -> None:
    chance, redactor = random.Random(3), Redactor()
    tokens = [made(template, chance) for template in TOKENS["others"].split() for _ in range(3)]
    missed = [token for token in tokens if left(redactor.text(f"401 for {token}: no"), token)]
    assert len(missed) < len(tokens) / 8


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Password: Zx9&3", "Password: [REDACTED]"),
        ("password=Zx9&3 ip=1.2.3.4", "password=[REDACTED] ip=1.2.3.4"),
        ("?password=Zx93&page=2", "?password=[REDACTED]&page=2"),
        ("run --password=Zx93 && rm x", "run --password=[REDACTED] && rm x"),
        ("jdbc:oracle:thin:scott/P@nd0ra@//db:1521/orcl", "jdbc:oracle:thin:scott/[REDACTED]@//db:1521/orcl"),
        ("-----BEGIN PRIVATE KEY-----\n" + "aB3/" * 16 + "\n-----END PRIVATE KEY-----", "[REDACTED]"),
    ],
)
def test_a_secret_may_have_marks_in_it_that_end_others(text: str, shown: str) -> None:
    assert Redactor().text(text) == shown


def test_what_else_is_drawn_by_lot_is_left_alone() -> None:
    redactor = Redactor()
    assert [text for _, text in alike(seed=5, rounds=3) if redactor.text(text) != text] == []


def test_what_is_masked_is_masked_once() -> None:
    redactor, hashing = Redactor(), Redactor(hash_key="k")
    for _, text, _ in MADE:
        for each in (redactor, hashing):
            masked = each.text(text)
            assert each.text(masked) == masked


FORMS = {
    f"{kind.service}: {prefix}": rf"{re.escape(prefix)}[{kind.follows}]{{{kind.least}}}"
    for kind in kinds.KINDS
    for prefix in kind.prefixes.split()
}
SHAPES = {shape.service: shape.pattern for shape in kinds.SHAPES}


def made_from(pattern: str | re.Pattern[str]) -> st.SearchStrategy[str]:
    """Return texts in which a pattern is found, made from the pattern."""
    expression = pattern if isinstance(pattern, re.Pattern) else re.compile(pattern, re.ASCII)
    return st.tuples(st.sampled_from(("", "is ", "\n")), st.from_regex(expression), st.sampled_from(("", " it"))).map(
        "".join
    )


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.sampled_from([*FORMS.values(), *SHAPES.values()]).flatmap(made_from))
def test_the_quick_look_is_true_for_whatever_the_table_of_kinds_matches(text: str) -> None:
    assert Redactor().suspects(text)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.sampled_from([form.pattern for form in forms.FORMS]).flatmap(made_from))
def test_the_quick_look_is_true_for_whatever_a_form_matches(text: str) -> None:
    redactor, folded = Redactor(), text.lower()
    assert redactor.suspects(text) or list(forms.formed(text, folded)) == []


ALONE = [alone._WORD, alone._BASE64, alone._GROUPS]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.sampled_from(ALONE).flatmap(made_from))
def test_the_quick_look_is_true_for_whatever_stands_alone(text: str) -> None:
    assert Redactor().suspects(text) or list(alone.find(text)) == []


def test_the_quick_look_knows_the_programs_and_the_tokens_in_base64() -> None:
    programs = {name for program in commands.PROGRAMS if program.after != "login" for name in program.names.split()}
    in_base64 = {prefix.lower() for kind in kinds.KINDS if "/" in kind.follows for prefix in kind.prefixes.split()}
    assert programs == hints.PROGRAMS
    assert all(any(hint in prefix for hint in hints.BASE64_HINTS) for prefix in in_base64)


def test_the_quick_look_is_true_for_whatever_is_masked() -> None:
    redactor = Redactor()
    for _, text, secret in MADE:
        for shown in (text, json.dumps({"a": text}), repr(text)):
            assert redactor.suspects(shown), (shown, secret)


@pytest.mark.parametrize("family", sorted({kind.family for kind in kinds.KINDS}))
def test_each_kind_of_the_table_is_masked(family: str) -> None:
    make, redactor = random.Random(family), Redactor()
    for kind in (kind for kind in kinds.KINDS if kind.family == family):
        alphabet = [
            character for character in string.printable if re.fullmatch(f"[{kind.follows}]", character, re.ASCII)
        ]
        for prefix in kind.prefixes.split():
            body = "".join(make.choices(alphabet, k=kind.least + 4))
            token = prefix + (body.lower() if kind.follows == kinds.HEX else body)
            for shown in (f"got {token}, then", repr(f"a\n{token}\n"), f"\x1b[31m{token}\x1b[0m"):
                assert token not in redactor.text(shown)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("password", True), ("dbPassword", True), ("api_key", True), ("X-API-Key", True), ("Authorization", True),
        ("access_token", True), ("client_secret", True), ("Set-Cookie", True), ("connectionString", True),
        ("session_token", True), ("csrf_token", True), ("cvv", True), ("password_hash", True),
        ("passwords", True), ("api_keys", True), ("dbpass", True), ("kennwort", True), ("mfa_code", True),
        ("APITOKEN", True),
        ("client-key-data", True), ("userpassword", True), ("contraseña", True), ("sessionId", False),
        ("next_page_token", False), ("eos_token", False), ("public_key", False), ("cache_key", False),
        ("compass", False),
        ("tokens", False), ("gen_ai.usage.input_tokens", False), ("gen_ai.usage.output_tokens", False),
        ("gen_ai.usage.cache_read.input_tokens", False), ("token_count", False), ("max_tokens", False),
        ("tokenType", False), ("token_usage", False), ("password_policy", False), ("secret_name", False),
        ("auth_method", False), ("key", False), ("author", False), ("secretary", False), ("passenger", False),
    ],
)  # fmt: skip
def test_a_name_is_a_secrets_by_its_words(name: str, secret: bool) -> None:
    assert Redactor().secret_name(name) is secret


def test_cards_are_known_by_issuer_length_and_checksum() -> None:
    text = Redactor().text
    assert text("paid with 4012-8888-8888-1881 today") == "paid with [REDACTED] today"
    for innocent in ("4012-8888-8888-1882", "1767225600000000000", "9012888888881881", "0x4012888888881881"):
        assert text(innocent) == innocent


def test_addresses_are_masked_where_asked_for() -> None:
    text = "write to bob.smith+ci@mail.example.org, not to @bob"
    assert Redactor().text(text) == text
    assert Redactor(emails=True).text(text) == "write to [REDACTED], not to @bob"


def test_hashes_are_equal_for_equal_secrets_under_one_key_only() -> None:
    ours, same, other = Redactor(hash_key="ours"), Redactor(hash_key=b"ours"), Redactor(hash_key="other")
    first, second = "Authorization: Bearer " + "a1" * 20, "Authorization: Bearer " + "b2" * 20
    assert re.fullmatch(r"Authorization: Bearer \[REDACTED:[0-9a-f]{12}\]", ours.text(first))
    assert ours.text(first) == same.text(first)
    assert ours.text(first) != other.text(first)
    assert ours.text(first) != ours.text(second)
    assert ours.masked("4012 8888 8888 1881") != ours.masked(None) == "[REDACTED]"
    assert "ours" not in repr(ours)


def test_the_same_secret_has_the_same_hash_by_name_and_by_shape() -> None:
    configured = Redactor(hash_key="k")
    secret = "S3cure-passw0rd"

    @step(action="login {user} {password}")
    def login(user: str, password: str) -> str:
        return f"password={password}"

    with capture_episodes(redactor=configured) as recorded, episode("t"):
        login("bob", secret)
    (span,) = recorded.steps
    mark = configured.masked(secret)
    assert span.attributes["episode.step.action"] == f"login bob {mark}"
    assert span.attributes["episode.step.observation"] == f"password={mark}"


class Account:
    """Methods that call their receiver what they like."""

    @step
    def login(this, user: str, password: str) -> None:  # noqa: N805
        """Take a name of the receiver's own."""

    @step("enter", action="enter as {user} with {password}")
    def enter(this, user: str, password: str) -> None:  # noqa: N805
        """Fill in a template."""

    @classmethod
    @step
    def open(owner, password: str) -> None:  # noqa: N804
        """Belong to the class."""

    @step
    @staticmethod
    def check(user: str, password: str) -> None:
        """Have no receiver."""


@pytest.mark.parametrize(
    ("call", "action"),
    [
        (lambda: Account().login("bob", "kestrel-1"), '{"user": "bob", "password": "[REDACTED]"}'),
        (lambda: Account.login(Account(), "bob", password="kestrel-1"), '{"user": "bob", "password": "[REDACTED]"}'),
        (lambda: Account().enter("bob", "kestrel-1"), "enter as bob with [REDACTED]"),
        (lambda: Account.open("kestrel-1"), '{"password": "[REDACTED]"}'),
        (lambda: Account().check("bob", "kestrel-1"), '{"user": "bob", "password": "[REDACTED]"}'),
        (lambda: step(Account().login.__wrapped__)("bob", "kestrel-1"), '{"user": "bob", "password": "[REDACTED]"}'),
    ],
)
def test_a_receiver_is_told_by_its_binding_not_by_its_name(call: Callable[[], None], action: str) -> None:
    with capture_episodes() as recorded, episode("t"):
        call()
    assert [span.attributes["episode.step.action"] for span in recorded.steps] == [action]


def test_the_key_comes_from_the_environment() -> None:
    redactor = from_environment({"OTEL_EPISODES_REDACT_KEY": "k"}).redactor
    assert redactor == Redactor(hash_key="k")
    assert from_environment({}).redactor == Redactor()


def test_no_way_into_a_span_leads_past_redaction() -> None:
    secret = "ghp_" + "a1B2" * 9

    @step(success=lambda result: False)
    def tool(argument: dict[str, str], note: str) -> str:
        current_step().observe(f"saw {secret}")
        return secret

    @step
    def failing(note: str) -> None:
        current_step().fail(f"no {secret}")

    with capture_episodes(capture="full") as recorded:
        with pytest.raises(ValueError, match="ghp_"), episode(f"use {secret}", tags=["x"]) as ep:
            tool({"deep": json.dumps({"er": secret})}, note=secret)
            failing(secret)
            ep.decide(f"which {secret}?", options=[secret], choice=secret)
            ep.milestone(f"has {secret}", observation=secret)
            ep.log_step(tool="t", action=secret, observation=secret, success=False)
            with ep.batch("t", action=secret) as burst:
                burst.add(secret, latency_ms=1, success=True)
            raise ValueError(f"bad {secret}")
        for end in ("succeed", "fail", "abstain"):
            with episode("t", tags=[secret]) as ep:
                getattr(ep, end)(f"because {secret}")
        with episode("t") as ep:
            ep.succeed("done", artifacts=[f"https://bob:{secret}@host/a.rs"])
        with episode("t") as ep:
            ep.partial(done=[secret], failed=[secret])
        with episode("t") as ep:
            ep.abstain("why", signals=[secret])
    everything = repr([(s.name, s.attributes, s.message, s.events) for s in recorded.spans])
    assert secret not in everything
    assert everything.count("[REDACTED]") >= 15


def test_names_ids_labels_and_kinds_of_errors_are_masked_as_well() -> None:
    secret = "ghp_" + "a1B2" * 9
    with capture_episodes() as recorded:
        with episode("t", agent=secret, domain=secret, framework=secret, id=f"run-{secret}", conversation_id=secret):
            with step(f"use {secret}") as one:
                one.fail("no", error_type=f"{secret}Error")
            log_step(tool=secret, success=False, error_type=secret)
        with episode("t", id=f"run-{secret}x") as other:
            pass
    everything = repr([(span.name, span.attributes, span.message) for span in recorded.spans])
    assert "a1B2a1B2" not in everything
    ids = {span.attributes["episode.id"] for span in recorded.spans}
    assert {re.sub("~[0-9a-f]{12}", "~", found) for found in ids} == {"run-[REDACTED]~"}
    assert (len(ids), other.id in ids) == (2, True)


def test_lists_of_words_have_limits() -> None:
    with capture_episodes() as recorded, episode("t", tags=["x" * 5000]) as ep:
        ep.succeed("v", artifacts=[f"a{number}.py" for number in range(1000)])
    (root,) = recorded.episodes
    assert [len(tag) for tag in root.attributes["episode.tags"]] == [1024]
    assert list(root.attributes["episode.artifacts"])[-2:] == ["a255.py", "…"]


def test_values_are_told_by_what_stands_before_them_in_lists_and_by_the_name_they_are_given() -> None:
    @step
    def run(argument: object) -> None:
        """Take anything."""

    values: list[object] = [
        ["mysql", "--password", "kestrel-77", "app"],
        ["curl", "-u", "bob:kestrel-77", "https://h"],
        [("X-Api-Key", "kestrel77kestrel"), ("Authorization", "Bearer kestrel-77")],
        {"env": [{"name": "DB_PASSWORD", "value": "kestrel-77"}, {"name": "MODE", "value": "fast"}]},
        {"passwords": ["kestrel-77"], "tokens": 512, "token_ids": [1, 2], "pin": 4711, "session_id": "sess_01H"},
        {"k" * 60 + " ghp_" + "a1B2" * 9: 1},
    ]
    with capture_episodes() as recorded, episode("t"):
        for value in values:
            run(value)
    assert [json.loads(span.attributes["episode.step.action"])["argument"] for span in recorded.steps] == [
        ["mysql", "--password", "[REDACTED]", "app"],
        ["curl", "-u", "[REDACTED]", "https://h"],
        [["X-Api-Key", "[REDACTED]"], ["Authorization", "[REDACTED]"]],
        {"env": [{"name": "DB_PASSWORD", "value": "[REDACTED]"}, {"name": "MODE", "value": "fast"}]},
        {"passwords": "[REDACTED]", "tokens": 512, "token_ids": [1, 2], "pin": "[REDACTED]", "session_id": "sess_01H"},
        {"k" * 60 + " [RE": 1},
    ]


ADVERSARIAL = [
    "a_", "token: ", "token ", "://a:", "://", "eyJaaaaaaaa.", "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "sk-",
    'password="', "--a-", "--password ", "-u a:", "cookie: a=", "1", "4 ", "4111-", "authorization: bearer ", "a@",
    "a@a.", "_aaaaaaaaaaaaaaaa", 'password\\"', "ghp_", "figd_-", "glsa_" + "a" * 30 + "_", "SG." + "a" * 16 + ".",
    "://?sig=", "password=a.", "-eyJ", "a,password\n", "key=", '("a","', "-ghp_" + "a1" * 16, "mysql ",
    "12345678:AA", "mysql -", "password is ", "-", "_", "\\", '"',
    "a1B2c3", "a1b2-", "Ab1.", "A1B2C-", "a1+/",
]  # fmt: skip


@pytest.mark.parametrize("piece", ADVERSARIAL)
def test_the_steps_grow_with_the_length_of_a_text_and_no_faster(piece: str) -> None:
    # Calls, of Python and of C, are counted: four times the text, four times the calls. What a call of a pattern costs
    # is bounded by the pattern, which the next test shows.
    def calls(length: int) -> int:
        text, count = (piece * (length // len(piece) + 1))[:length], 0

        def counted(frame: object, event: str, argument: object) -> None:
            nonlocal count
            count += 1

        sys.setprofile(counted)
        try:
            Redactor(emails=True).text(text)
        finally:
            sys.setprofile(None)
        return count

    calls(100)
    assert calls(16_000) < 5 * calls(4_000) + 200


@pytest.mark.parametrize("module", [alone, cards, commands, forms, named, tables, tokens])
def test_no_pattern_repeats_without_a_bound_within_a_repetition(module: Any) -> None:
    finder = tokens.Finder()
    found = [value for value in (*vars(module).values(), *vars(finder).values()) if isinstance(value, re.Pattern)]
    nested = [pattern.pattern for pattern in found if is_nested(sre_parser.parse(pattern.pattern, pattern.flags))]
    assert (nested, len(found) > 2) == ([], True)


def is_nested(parsed: Any, within: bool = False) -> bool:
    """Return True for a repetition without a bound inside another repetition."""
    for operation, argument in parsed:
        if str(operation) in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            _, most, inside = argument
            if (within and most == sre_parser.MAXREPEAT) or is_nested(inside, within or most > 1):
                return True
        elif any(is_nested(part, within) for part in pieces_of(argument)):
            return True
    return False


def pieces_of(argument: Any) -> list[Any]:
    if isinstance(argument, sre_parser.SubPattern):
        return [argument]
    return [piece for part in argument for piece in pieces_of(part)] if isinstance(argument, (tuple, list)) else []


def test_a_megabyte_of_anything_is_looked_through() -> None:
    assert Redactor().text("token=" * 175_000).count("token=") > 0


def test_a_redactor_is_given_to_configure() -> None:
    from opentelemetry.sdk.trace import TracerProvider

    from otel_episodes import _state

    before = _state.settings
    try:
        configure(otlp="http://127.0.0.1:1", tracer_provider=TracerProvider(), redactor=Redactor(emails=True))
        assert _state.settings.redactor == Redactor(emails=True)
    finally:
        _state.settings, _state.provider = before, None
