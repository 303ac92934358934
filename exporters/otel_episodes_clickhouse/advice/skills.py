"""Skills: what holds in a domain, as a ``SKILL.md`` that an agent reads, in versions that a person accepts.

A skill is made of what is sure: sequences of tools whose runs went well or badly beyond chance, calls that usually
fail, and what put failures right. It holds counts, ids, names of tools and the shapes of errors. Versions are added and
never changed; the one that was accepted last counts, until it is rolled back or expires: 90 days after it was decided
on or one of its items was last shown to a run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_episodes import UsageError
from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.advice import pitfalls
from otel_episodes_clickhouse.advice.items import blocked
from otel_episodes_clickhouse.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from otel_episodes_clickhouse.advice.items import Item
    from otel_episodes_clickhouse.store.store import Store

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_LONGEST_NAME: Final = 64
_MOST_LINES: Final = 60
_LONGEST_DESCRIPTION: Final = 130
_EACH: Final = 8
_LONGEST_SHAPE: Final = 80
_EVIDENCE: Final = 12


@dataclass(frozen=True)
class Skill:
    """One version of a skill. ``state`` is proposed, accepted, expired or replaced (by a later one, or rolled back)."""

    name: str
    version: int
    state: str
    domain: str
    runs: int
    steps: tuple[str, ...]
    avoid: tuple[str, ...]
    recoveries: tuple[str, ...]
    items: tuple[str, ...]
    evidence: tuple[str, ...]

    @property
    def description(self) -> str:
        """When to read it, in a line."""
        about = (
            f"Use when working on {self.domain}: what led to success in {self.runs} recorded runs, and what to avoid."
        )
        short = f"Use when working on {self.domain[:80]}: what recorded runs show."
        return about if len(about) <= _LONGEST_DESCRIPTION else short[:_LONGEST_DESCRIPTION]

    def text(self) -> str:
        """Return the ``SKILL.md``: at most 60 lines, from a fixed template."""
        lines = [
            "---", f"name: {self.name}", f'description: "{self.description}"', "---", "", f"# {self.name}", "",
            "## When", "", f"- The task is in {self.domain}, and the tools named here are at hand.", "",
            "## When not", "",
            "- The task or the tools differ from these: the figures say nothing of them.",
        ]  # fmt: skip
        parts = (("Steps that led to success", self.steps), ("Avoid", self.avoid), ("If it fails", self.recoveries))
        for title, texts in parts:
            if texts:
                lines += ["", f"## {title}", "", *(f"- {text}" for text in texts)]
        lines += ["", "## Evidence", "", f"- Version {self.version}, learned from {self.runs} runs."]
        lines += [f"- {', '.join(self.evidence)}"] if self.evidence else []
        return "\n".join(lines[:_MOST_LINES]) + "\n"


def propose(store: Store, *, domain: str = "", name: str = "") -> list[Skill]:
    """Make a version of the skill of each domain, or of one, where what is sure differs from its last version's.

    ``name`` is for one domain; without it the name is made from the domain's.

    Raises:
        UsageError: a name that no folder of a skill may have, or one for several domains.
    """
    if name and not domain:
        raise UsageError("name the domain whose skill is to be called so: --domain")
    if name and _NAME.fullmatch(name) is None:
        raise UsageError(f"{name!r} cannot be a skill's name: use up to 64 of a-z, 0-9 and -")
    made = []
    for row in store.query_named("skill_domains", {"domain": domain}):
        found = _content(store, row["Domain"], row["Tenant"])
        known = versions(store, name or name_of(row["Domain"], row["Tenant"]))
        # Figures change with every run; what is said, and of what, does not.
        if not found["items"] or (known and set(known[-1].items) == set(found["items"])):
            continue
        said = {
            **found, "name": name or name_of(row["Domain"], row["Tenant"]), "version": len(known) + 1,
            "event": "proposed", "domain": row["Domain"], "tenant": row["Tenant"], "runs": row["Runs"], "reason": "",
            "by": "",
        }  # fmt: skip
        store.execute(sql.named("skill_write"), said)
        made.append(versions(store, said["name"])[-1])
    return made


def versions(store: Store, name: str = "") -> list[Skill]:
    """Return the versions of a skill, or of all, by name and number."""
    return [
        Skill(
            row["Name"], row["Version"], _state(row), row["Domain"], row["Runs"], tuple(row["Steps"]),
            tuple(row["Avoid"]), tuple(row["Recoveries"]), tuple(row["Items"]), tuple(row["Evidence"]),
        )
        for row in store.query_named("skill_versions", {"name": name})
    ]  # fmt: skip


def one(store: Store, name: str, version: int | None = None) -> Skill:
    """Return a version of a skill: the one that counts, else the latest.

    Raises:
        StoreError: there is no such skill or version.
    """
    found = versions(store, name)
    chosen = [skill for skill in found if version in (None, skill.version)]
    if not name or not chosen:
        which = f"no version {version} of {name}" if found and name else f"no skill {name!r}"
        raise StoreError(f"there is {which}: see `otel-episodes skills list`")
    current = [skill for skill in chosen if skill.state in ("accepted", "expired")]
    return (current or chosen)[-1]


def accept(store: Store, name: str, version: int | None = None, *, reason: str = "", by: str = "person") -> Skill:
    """Let a version of a skill count, the latest by default; it is then written by `export`.

    Raises:
        StoreError: there is no such skill or version.
    """
    found = versions(store, name)
    chosen = one(store, name, version if version is not None else found[-1].version if found else None)
    _decide(store, chosen, "accepted", reason, by)
    return one(store, name, chosen.version)


def rollback(
    store: Store, name: str, version: int | None = None, *, reason: str = "", by: str = "person"
) -> Skill | None:
    """Let an earlier version count again, by default the one accepted before; return None where none counts any more.

    Raises:
        UsageError: a version that was never accepted.
        StoreError: there is no such skill or version, or none counts.
    """
    now = one(store, name)
    if now.state not in ("accepted", "expired"):
        raise StoreError(f"no version of {name} was accepted: there is nothing to roll back")
    earlier = [row["Version"] for row in store.query_named("skills_accepted", {"name": name})]
    if version is not None and version not in earlier:
        raise UsageError(f"version {version} of {name} was never accepted: {name} can go back to {earlier}")
    before = version if version is not None else next((each for each in earlier if each < now.version), None)
    if before is None:
        _decide(store, now, "rolled back", reason, by, version=0)
        return None
    _decide(store, one(store, name, before), "accepted", reason, by)
    return one(store, name, before)


def export(store: Store, directory: Path) -> list[Path]:
    """Write each skill that counts to ``DIR/NAME/SKILL.md``, and remove what counts no more; return what is written."""
    written = []
    for skill in versions(store):
        path = directory / skill.name / "SKILL.md"
        if skill.state == "accepted":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(skill.text(), encoding="utf-8")
            written.append(path)
        elif path.exists() and _is_ours(path, skill):
            path.unlink()
    return written


def name_of(domain: str, tenant: str = "") -> str:
    """Return the name of the skill of a domain: its letters and digits, as far as the folder of one may have them."""
    words = re.sub(r"[^a-z0-9]+", "-", f"{tenant} {domain}".lower()).strip("-")
    return (words or "runs")[:_LONGEST_NAME].strip("-")


def _content(store: Store, domain: str, tenant: str) -> dict[str, Any]:
    away = blocked(store, tenant).away
    sequences = store.query_named("skill_sequences", {"domain": domain})
    good = [row for row in sequences if row["Verdict"] == "good" and row["PatternId"] not in away][:_EACH]
    bad = [row for row in sequences if row["Verdict"] == "pitfall" and row["PatternId"] not in away][:_EACH]
    failing = [item for *_, item in pitfalls.all_warnings(store, domain, tenant, _EACH) if item.id not in away]
    mended = [
        (tool, error, item)
        for tool, error, item in pitfalls.all_recoveries(store, domain, tenant, _EACH)
        if item.id not in away
    ]
    evidence = [*(trace for row in (*good, *bad) for trace in row["Evidence"][:2])]
    evidence += [episode for item in (*failing, *(each[2] for each in mended)) for episode in item.evidence[:2]]
    return {
        "steps": list(map(_sequence, good)),
        "avoid": [*map(_sequence, bad), *(item.text for item in failing)][:_EACH],
        "recoveries": [_recovery(tool, error, item) for tool, error, item in mended],
        "items": [*(row["PatternId"] for row in (*good, *bad)), *(item.id for item in failing),
                  *(item.id for *_, item in mended)],
        "evidence": list(dict.fromkeys(evidence))[:_EVIDENCE],
    }  # fmt: skip


def _sequence(row: dict[str, Any]) -> str:
    figures = f"{row['Successes']} of {row['Support']} runs went well"
    return f"{', then '.join(row['Key'])}: {figures} ({row['SuccessRateLow']:.0%} to {row['SuccessRateHigh']:.0%})."


def _recovery(tool: str, error: str, item: Item) -> str:
    # What a run said is quoted, and cannot end the quote.
    shape = error.replace("`", "").replace("<", "").replace(">", "")[:_LONGEST_SHAPE]
    return f"{tool}, error `{shape}`: {item.text}"


def _state(row: dict[str, Any]) -> str:
    if row["IsCurrent"]:
        return "expired" if row["IsExpired"] else "accepted"
    return "replaced" if row["WasAccepted"] else "proposed"


def _is_ours(path: Path, skill: Skill) -> bool:
    head = path.read_text(encoding="utf-8", errors="replace").splitlines()[:6]
    return head[1:2] == [f"name: {skill.name}"] and f"# {skill.name}" in head


def _decide(store: Store, skill: Skill, event: str, reason: str, by: str, *, version: int | None = None) -> None:
    nothing: Iterable[str] = []
    said = {
        "name": skill.name, "version": skill.version if version is None else version, "event": event,
        "domain": skill.domain, "tenant": "", "steps": nothing, "avoid": nothing, "recoveries": nothing,
        "items": nothing, "evidence": nothing, "runs": 0, "reason": reason, "by": by,
    }  # fmt: skip
    store.execute(sql.named("skill_write"), said)
