"""What is printed does nothing to a terminal, and hides nothing from whoever looks."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout

import pytest

from otel_episodes_clickhouse.cli import output
from otel_episodes_clickhouse.errors import QueryError, plain

ACTING = ["\x1b]0;x\x07", "\x9b2J", "\x7f", "\r", "\u061c", "\u202e", "\u2066", "\u2028", "\x85", "\x00"]
HIDDEN = ["\u200b", "\u2060", "\ufeff", "\u00ad", "\u180e", "\u034f", "\ufff9", "\U000e0041"]


class Terminal(io.StringIO):
    """What a person looks at."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("text", ACTING)
def test_what_acts_is_a_space(text: str) -> None:
    assert plain(f"a{text}b") == f"a{plain(text)}b"
    assert set(plain(text)) <= set(" ]0;x2J")


@pytest.mark.parametrize("text", HIDDEN)
def test_what_cannot_be_seen_is_not_printed(text: str) -> None:
    assert output.one_line(f"a{text}b\nc") == "ab c"


@pytest.mark.parametrize("text", [*ACTING, *HIDDEN])
def test_json_escapes_it_and_says_the_same(text: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    output.json({"a": text})
    written = capfdbinary.readouterr().out
    assert json.loads(written) == {"a": text}
    assert all(byte < 0x7F for byte in written)


@pytest.mark.parametrize("text", [*ACTING, *HIDDEN])
def test_csv_is_as_it_was_recorded_except_on_a_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{f"name{text}": f"value{text}", "list": [f"a{text}"], "map": {f"key{text}": f"b{text}"}}]
    output.csv(rows)
    assert f"value{text}" in capsys.readouterr().out.replace('"', "")
    with redirect_stdout(Terminal()) as shown:
        output.csv(rows)
    written = shown.getvalue()
    assert plain(written) == written
    assert all(word in written for word in ("name", "value", "list", "key"))


def test_an_error_repeats_what_a_server_says_without_its_escapes() -> None:
    assert str(QueryError("no \x1b[2Jtable\u202e x\n  there")) == "no  [2Jtable  x\n  there"
