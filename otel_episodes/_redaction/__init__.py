"""Keeping secrets out of what is recorded.

A value under a name that speaks of a secret is masked whole; a text is searched for what looks like a credential,
wherever it stands. `kinds` is the table of known tokens, `tokens` finds them and those built alike; `names` judges
names and values; `named`, `forms` and `commands` know the syntaxes in which a value follows its name. The work grows
with the length of a text and no faster, whatever the text: no pattern repeats without a bound what it may begin again.
"""

from otel_episodes._redaction.redactor import MASK, Redactor

__all__ = ["MASK", "Redactor"]
