"""What is said of episodes afterwards: tags, checkpoints, and how they hang together.

Each is a span beside the episode; nothing is ever changed. A tag that is taken away is another span.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_episodes import UsageError, semconv
from otel_episodes._for_store import NAME_LIMIT, OBSERVATION_LIMIT, masked_line, masked_text
from otel_episodes_clickhouse.learning.beside import known_episode, span_beside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_episodes_clickhouse.spool.row import Row
    from otel_episodes_clickhouse.store.store import Store

RELATIONS: Final = ("follows", "retries", "part_of")


def tag(store: Store, episode: str, *tags: str, remove: Sequence[str] = ()) -> list[str]:
    """Add tags to an episode, and take others away; return those it has then, in order.

    They are one with the tags that it was begun with: the view `episodes` shows both as ``Tags``.

    Raises:
        UsageError: no tag, or an empty one.
        StoreError: there is no episode with this id.
    """
    if not tags and not remove:
        raise UsageError("name a tag to add or to remove")
    if not all(map(str.strip, (*tags, *remove))):
        raise UsageError("a tag cannot be empty")
    known = known_episode(store, episode)
    rows = [_mark(known, "untag", masked_line(each, NAME_LIMIT)) for each in remove]
    # Later than what is taken away: who says both of a tag means to have it.
    rows += [_mark(known, "tag", masked_line(each, NAME_LIMIT)) for each in tags]
    store.insert_rows(rows)
    return sorted(known_episode(store, known["EpisodeId"])["Tags"])


def relate(store: Store, episode: str, kind: str, other: str, *, note: str = "") -> None:
    """Say how an episode hangs together with another: it ``follows`` it, ``retries`` it, or is ``part_of`` it.

    Raises:
        UsageError: another kind, or an episode with itself.
        StoreError: there is no episode with one of these ids.
    """
    if kind not in RELATIONS:
        raise UsageError(f"no relation {kind!r}: use {', '.join(RELATIONS)}")
    known, target = known_episode(store, episode), known_episode(store, other)
    if known["EpisodeId"] == target["EpisodeId"]:
        raise UsageError(f"{known['EpisodeId']} cannot be related to itself")
    store.insert_rows([_mark(known, kind, target["EpisodeId"], note)])


def checkpoint(store: Store, episode: str, note: str, *, name: str = "") -> None:
    """Write down where an episode stands, for whoever goes on with it: `handoff` shows it.

    Raises:
        UsageError: nothing is said.
        StoreError: there is no episode with this id.
    """
    if not note.strip():
        raise UsageError("say where the episode stands: what is done, and what is next")
    store.insert_rows([_mark(known_episode(store, episode), "checkpoint", masked_line(name, NAME_LIMIT), note)])


def _mark(episode: dict[str, Any], kind: str, value: str, note: str = "") -> Row:
    said = {
        semconv.SPAN: semconv.SPAN_MARK, semconv.MARK_KIND: kind, semconv.MARK_VALUE: value,
        semconv.MARK_NOTE: masked_text(note, OBSERVATION_LIMIT) if note else "",
    }  # fmt: skip
    return span_beside(episode, f"mark {kind}", said)
