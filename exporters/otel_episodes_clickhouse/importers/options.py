"""What a user can say about a source to be imported."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImportOptions:
    """How to read records that leave something open.

    ``format`` is the name of a reader; auto looks at each source. ``task``, ``reward`` and ``id`` name fields, ``a.b``
    is a field in a field; ``success_at`` is the least score that is a success. ``rules`` are those of `rules.RULES`
    that may say how a run ended where nobody told. ``per`` is prompt to make an episode of each prompt of a session,
    empty to leave a session whole; ``ended_how`` is how a session ended where its source does not say.
    """

    format: str = "auto"
    task: str = ""
    reward: str = ""
    success_at: float = 1.0
    agent: str = ""
    id: str = ""
    rules: tuple[str, ...] = ()
    per: str = ""
    ended_how: str = ""
