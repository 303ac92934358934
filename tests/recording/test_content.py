"""What is kept of arguments, results and messages: short, valid, without secrets, at bounded cost."""

import json
import subprocess
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_episodes import Redactor, current_step, episode, log_step, step
from otel_episodes._rendering import cut
from otel_episodes._rendering import json as render
from otel_episodes.testing import capture_episodes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=9), inner, max_size=6),
    max_leaves=60,
)


@given(JSON, st.integers(16, 600))
def test_rendered_values_are_valid_json_within_the_limit(value, limit):
    text = render(value, limit, None)
    assert len(text) <= limit
    json.loads(text)
    text.encode()


@given(JSON, st.integers(16, 600), st.booleans(), st.sampled_from([None, 1]))
def test_json_that_is_cut_is_still_json(value, limit, ascii_only, indent):
    text = json.dumps([value], ensure_ascii=ascii_only, indent=indent)
    short = cut(text, limit)
    assert len(short) <= limit
    json.loads(short)
    if len(text) <= limit:
        assert short == text


@given(st.text(), st.integers(1, 40))
def test_text_that_is_cut_is_marked(value, limit):
    short = cut(value, limit)
    if len(value) <= limit:
        assert short == value
    else:
        assert len(short) <= limit
        assert "…" in short


def test_objects_are_rendered_by_their_fields_and_unknown_ones_by_their_class():
    class Colour(Enum):
        RED = 1

    @dataclass
    class Point:
        x: int
        tags: list = field(default_factory=list)

    class Unknown:
        def __repr__(self):
            raise RuntimeError

        __str__ = __repr__

    values = {
        "point": Point(1, ["a"]),
        "colour": Colour.RED,
        "path": Path("/tmp/x"),
        "when": datetime(2026, 1, 2, tzinfo=UTC),
        "bytes": b"abc",
        "mapping": MappingProxyType({"a": 1}),
        "ordered": OrderedDict(b=2),
        "set": {3},
        "error": ValueError("bad"),
        "type": int,
        "nan": float("nan"),
        "huge": 10**400,
        "unknown": Unknown(),
    }
    assert json.loads(render(values, 1024, None)) == {
        "point": {"x": 1, "tags": ["a"]},
        "colour": "RED",
        "path": "/tmp/x",
        "when": "2026-01-02 00:00:00+00:00",
        "bytes": "<bytes of 3 bytes>",
        "mapping": {"a": 1},
        "ordered": {"b": 2},
        "set": [3],
        "error": "ValueError: bad",
        "type": "<class int>",
        "nan": "nan",
        "huge": "<int of 1329 bits>",
        "unknown": "<Unknown>",
    }


def test_a_single_value_is_told_without_quotes_and_a_finished_process_by_its_code():
    with capture_episodes() as recorded, episode("t"):
        step(action="read {path}")(lambda path: path)(Path("/tmp/x"))
        step(tool="run")(lambda: subprocess.CompletedProcess(["ls"], 2, "", "no such file"))()
    read, ran = recorded.steps
    assert read.attributes["episode.step.action"] == "read /tmp/x"
    assert read.attributes["episode.step.observation"] == "/tmp/x"
    assert ran.attributes["episode.step.observation"] == '{"returncode": 2, "stdout": "", "stderr": "no such file"}'


def _nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def _circular():
    value = {}
    value["self"] = value
    return value


@pytest.mark.parametrize(
    "hostile",
    [
        "x" * 1_000_000,
        b"x" * 1_000_000,
        list(range(1_000_000)),
        {str(i): i for i in range(100_000)},
        _nested(10_000),
        _circular(),
        [["x" * 1000] * 1000] * 1000,
        "\ud800" * 10_000,
        '{"a": ' * 10_000,
        10**100_000,
    ],
    ids=["string", "bytes", "list", "dict", "nested", "circular", "wide", "surrogates", "broken json", "integer"],
)
def test_hostile_values_are_recorded_at_a_bounded_cost(hostile):
    @step
    def tool(value):
        return value

    with capture_episodes() as recorded, episode("t"):
        tool(1)
        costs = []
        for _ in range(9):
            before = time.thread_time_ns()
            tool(hostile)
            costs.append(time.thread_time_ns() - before)
    for span in recorded.steps:
        assert len(span.attributes["episode.step.action"]) <= 256
        assert len(span.attributes["episode.step.observation"]) <= 1024
        span.attributes["episode.step.observation"].encode()
    # The value is a thousand times what is kept of it: work in proportion to it would take tens of milliseconds.
    assert sorted(costs)[4] < 5_000_000


def test_secrets_are_masked_in_arguments_results_errors_and_verdicts():
    token = "ghp_" + "a1B2" * 9

    @step(action="login as {user} with {password}")
    def login(user, password):
        current_step().observe(f"Authorization: Bearer {token}")
        raise OSError(f"401 for https://bob:hunter22@host/ and api_key={token}")

    with capture_episodes() as recorded, pytest.raises(OSError, match="401"), episode(f"use {token}"):
        login("bob", "hunter22")
    everything = repr([(s.attributes, s.message, s.events) for s in recorded.spans])
    assert token not in everything
    assert "hunter22" not in everything
    (span,) = recorded.steps
    assert span.attributes["episode.step.action"] == "login as bob with [REDACTED]"


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLWhlcmU"
SECRETS = [
    JWT,
    "AKIA" + "ABCDEFGHIJKLMNOP",
    "sk-proj-" + "aB3" * 12,
    "sk-ant-api03-" + "aB3_" * 12,
    "sk_live_" + "a1" * 12,
    "github_pat_" + "a1" * 20,
    "glpat-" + "a1" * 10,
    "xoxb-123456-" + "a1" * 8,
    "hf_" + "aB" * 17,
    "AIza" + "a" * 35,
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----",
    "4111 1111 1111 1111",
]
INNOCENT = [
    "the tokens: 5000, keys: 12, secretary of state",
    "commit 3f2a9c1d8e7b6a5f4e3d2c1b0a9f8e7d6c5b4a39",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "src/auth/password_reset.py:12: def reset_password(user):",
    "http://localhost:8080/path?page=2",
    "order 1234567890123456 shipped",
    "task-force and risk-management of disk-usage",
    "version 1.2.3-beta.20240101",
    "550e8400-e29b-41d4-a716-446655440000",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_credentials_are_known_by_their_shape(secret):
    text = Redactor().text(f"before {secret} after")
    assert text == "before [REDACTED] after"


@pytest.mark.parametrize("text", INNOCENT)
def test_innocent_text_is_left_alone(text):
    assert Redactor().text(text) == text


@pytest.mark.parametrize(
    "name", ["password", "dbPassword", "api_key", "X-API-Key", "Authorization", "access_token", "secret", "cookie"]
)
def test_names_of_secrets_are_known(name):
    assert Redactor().secret_name(name)
    assert json.loads(render({name: "v" * 20}, 256, Redactor())) == {name: "[REDACTED]"}


@pytest.mark.parametrize(
    "name",
    ["tokens", "input_tokens", "gen_ai.usage.input_tokens", "key", "author", "secretary", "passenger", "compass"],
)
def test_names_that_only_look_like_it_are_not(name):
    assert not Redactor().secret_name(name)


def test_rules_of_your_own_are_added():
    import re

    redactor = Redactor(names=frozenset(["ssn"]), patterns=(re.compile(r"(?P<keep>emp-)\d+"),))
    assert render({"ssn": "1-2-3", "id": "emp-77"}, 256, redactor) == '{"ssn": "[REDACTED]", "id": "emp-[REDACTED]"}'


def test_a_secret_at_the_cut_is_masked_whole():
    text = "x" * 1000 + " " + JWT * 3
    with capture_episodes() as recorded, episode("t"):
        log_step(tool="t", observation=text)
    kept = recorded.steps[0].attributes["episode.step.observation"]
    assert "eyJ" not in kept
    assert len(kept) <= 1024


def test_capture_none_keeps_no_content_and_full_keeps_arguments_and_results():
    @step(action="search {pattern}")
    def grep(pattern):
        if pattern == "bad":
            raise ValueError("secret plans")
        return {"hits": 3}

    with capture_episodes(capture="none") as recorded, episode("t") as ep:
        grep("plans")
        with pytest.raises(ValueError, match="plans"):
            grep("bad")
        with step("x", action="literal") as s:
            s.observe("seen")
        ep.succeed()
    assert "plans" not in repr(recorded.steps)
    content = {"episode.step.action", "episode.step.observation"}
    assert [content & set(s.attributes) for s in recorded.steps] == [set(), set(), set()]
    with capture_episodes(capture="full") as recorded, episode("t"):
        grep("plans")
    assert recorded.steps[0].attributes["gen_ai.tool.call.arguments"] == '{"pattern": "plans"}'
    assert recorded.steps[0].attributes["gen_ai.tool.call.result"] == '{"hits": 3}'
    assert recorded.steps[0].attributes["episode.step.action"] == "search plans"
