"""The documentation agrees with the code and with itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main
from cli_page import PAGE, commands, page

from otel_episodes import semconv
from otel_episodes_clickhouse.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
# What is not generated, and not for those who develop.
TELLING = [path.read_text("utf-8") for path in PAGES if "reference" not in path.parts]
SAID_OF_ALL = {"--dsn", "--json", "--csv", "--help"}
ROOT_COMMAND: Any = typer.main.get_command(app)
# Words that a reader stumbles over, and what to write.
STUMBLED_OVER = {
    r"\bmend(s|ed|ing)?\b": "fix, repair",
    r"\banew\b": "again",
    r"\bwhoever\b": "anyone who, the one who",
    r"\b(?<!there )(?<!There )is no\b (?!longer|more)": "is not a",
    r"\bgoes before\b": "overrides",
}


def prose(path: Path) -> str:
    """Return a page without its code."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def test_the_command_line_reference_is_what_help_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it: python tests/support/cli_page.py"


def test_the_attributes_page_lists_every_attribute() -> None:
    listed = set(re.findall(r"`([a-z_.]+)`", (ROOT / "docs" / "reference" / "attributes.md").read_text("utf-8")))
    names = {
        value
        for name, value in vars(semconv).items()
        if name.isupper() and isinstance(value, str) and "." in value and not value.startswith("gen_ai.usage")
    }
    assert names - listed == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_uses_words_that_do_not_stop_a_reader(path: Path) -> None:
    text = prose(path)
    found = {pattern: (match[0], STUMBLED_OVER[pattern]) for pattern in STUMBLED_OVER
             for match in re.finditer(pattern, text, re.IGNORECASE)}  # fmt: skip
    assert not found


@pytest.mark.parametrize("path", [path for path in commands(ROOT_COMMAND) if path], ids=" ".join)
def test_a_page_that_tells_how_mentions_the_command_and_its_options(path: tuple[str, ...]) -> None:
    command = ROOT_COMMAND
    for name in path:
        command = command.commands[name]
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    told = [text for text in TELLING if f"otel-episodes {' '.join(path)}" in text]
    assert told
    assert {
        option for option in options - SAID_OF_ALL if not any(re.search(rf"{option}(?![\w-])", text) for text in told)
    } == set()
