"""Measure redaction: how many secrets are found, how many innocent texts are touched, and how the work grows.

``python benchmarks/redaction.py`` prints what docs/explanation/security.md says. Recall counts a secret as found when
nothing of it is left but its first four characters, which the prefix of many kinds is part of.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from redaction_corpus import INNOCENT, secrets

from otel_episodes import Redactor

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


def main() -> None:
    """Print recall, false positives, and false positives in recorded conversations."""
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
