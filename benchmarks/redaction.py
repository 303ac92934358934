"""Measure redaction: how many secrets are found, how many innocent texts are touched, and how the work grows.

``python benchmarks/redaction.py`` prints what docs/explanation/security.md says. Recall counts a secret as found when
nothing of it is left but its first four characters, which the prefix of many kinds is part of.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

from redaction_corpus import INNOCENT, alike, by_family, secrets
from redaction_tokens import TOKENS, made

from otel_episodes import Redactor
from otel_episodes._redaction import kinds
from otel_episodes._redaction import redactor as _redactor_module
from otel_episodes._redaction.tokens import Finder

if TYPE_CHECKING:
    from collections.abc import Callable

TAU = Path(__file__).resolve().parents[2] / "shared" / "data" / "tau_airline" / "episodes.jsonl"
SEEDS = range(1, 6)


def left(text: str, secret: str) -> bool:
    """Tell whether the masked text still shows the secret, or a telling part of it."""
    return secret in text or any(secret[start : start + 8] in text for start in range(4, len(secret) - 7))


def texts_in(value: object) -> list[str]:
    """Return every string in a JSON value."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts_in(item)]
    return [text for item in value for text in texts_in(item)] if isinstance(value, list) else []


def without(family: str) -> Finder:
    """Return what finds tokens, with the rows of one family left out of its table."""
    return Finder(
        [kind for kind in kinds.KINDS if kind.family != family],
        [shape for shape in kinds.SHAPES if shape.family != family],
    )


def masked_by_ours(text: str) -> str:
    """Mask as the default does."""
    return Redactor().text(text)


def masked_without(family: str) -> Callable[[str], str]:
    """Mask as the default does, with the rows of one family left out of the table of kinds."""
    finder = without(family)

    def masked(text: str) -> str:
        kept = _redactor_module._finder  # the one place where the table is chosen
        _redactor_module._finder = lambda: finder
        try:
            return Redactor().text(text)
        finally:
            _redactor_module._finder = kept

    return masked


def masked_by_detect_secrets(text: str) -> str:
    """Mask what detect-secrets reports, line by line, with its default settings."""
    from detect_secrets.core.scan import scan_line
    from detect_secrets.settings import default_settings

    with default_settings():
        found = {secret.secret_value for line in text.split("\n") for secret in scan_line(line)}
    for secret in found - {None, ""}:
        text = text.replace(secret, "[X]")
    return text


def masked_by_logfire(text: str) -> str:
    """Mask as logfire's scrubber does the value of an attribute."""
    from logfire._internal.scrubbing import Scrubber

    return str(Scrubber(None).scrub_value(("attributes", "x"), text)[0])


def available() -> dict[str, Callable[[str], str]]:
    """Return those to compare with that are installed."""
    peers = {"detect-secrets": masked_by_detect_secrets, "logfire": masked_by_logfire}
    return {name: mask for name, mask in peers.items() if find_spec(name.replace("-", "_")) is not None}


def print_families() -> None:
    """Print recall by family, with its rows and without, and the look-alikes touched, beside others."""
    cases = [case for seed in (1, 2) for case in by_family(seed)]
    peers = available()
    print("| family | secrets | masked | its rows left out | " + " | ".join(peers) + " |")
    for family in dict.fromkeys(case[0] for case in cases):
        for met in ("named", "alone"):
            texts = [(text, secret) for which, how, text, secret in cases if (which, how) == (family, met)]
            if texts:
                masks = [masked_by_ours, masked_without(family), *peers.values()]
                shares = [sum(not left(mask(text), secret) for text, secret in texts) / len(texts) for mask in masks]
                print(f"| {family}, {met} | {len(texts)} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")
    innocent = list(alike())
    for family in dict.fromkeys(which for which, _ in innocent):
        texts_of = [text for which, text in innocent if which == family]
        touched = [sum(mask(text) != text for text in texts_of) for mask in (masked_by_ours, *peers.values())]
        print(f"| {family} | {len(texts_of)} | " + " | ".join(map(str, touched)) + " |")


ALONE = (
    "using {} for this run", "error: 401 for {}: not allowed", "client = Client('{}')", 'x = "{}"', "got {}\\n", "`{}`",
    "curl https://h -H 'x: {}'", "  - {}\n  - x", "| 3 | {} | ok |", '{{"a": "{}"}}', "E   assert '{}' == ''", "{}",
)  # fmt: skip


def print_whole_tokens(rounds: int = 6) -> None:
    """Print how many tokens of their full length are masked where nothing tells of them, by family."""
    chance = random.Random(1)
    print("| family | whole tokens, alone | masked | its rows left out |")
    for family, templates in TOKENS.items():
        tokens = [made(template, chance) for template in templates.split() for _ in range(rounds)]
        texts = [(chance.choice(ALONE).format(token), token) for token in tokens]
        shares = [
            sum(not left(mask(text), token) for text, token in texts) / len(texts)
            for mask in (masked_by_ours, masked_without(family))
        ]
        print(f"| {family} | {len(texts)} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")


def main() -> None:
    """Print recall, false positives, and false positives in recorded conversations."""
    print_families()
    print_whole_tokens()
    redactor = Redactor()
    made = [case for seed in SEEDS for case in secrets(seed)]
    missed = Counter(kind for kind, text, secret in made if left(redactor.text(text), secret))
    kinds = len({kind for kind, _, _ in made})
    print(f"secrets      {len(made)} of {kinds} kinds, found {len(made) - sum(missed.values())}")
    for kind, count in missed.most_common():
        print(f"  missed     {kind}: {count}")
    touched = [text for text in INNOCENT if redactor.text(text) != text]
    print(f"innocent     {len(INNOCENT)}, touched {len(touched)}")
    for text in touched:
        print(f"  touched    {text}  ->  {redactor.text(text)}")
    if not TAU.exists():
        print("conversations: skipped, ../shared/data/tau_airline is not there")
        return
    texts = [text for line in TAU.read_text().splitlines() for text in texts_in(json.loads(line))]
    changed = [text for text in texts if redactor.text(text) != text]
    characters = sum(map(len, texts))
    print(f"conversations {len(texts)} texts, {characters / 1e6:.1f} million characters, touched {len(changed)}")
    for text in changed[:10]:
        print(f"  touched    {redactor.text(text)[:160]!r}")


if __name__ == "__main__":
    main()
