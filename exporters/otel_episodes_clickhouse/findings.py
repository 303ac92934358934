"""What can be seen of an installation, its spool and its store, each with what to do about it."""

from __future__ import annotations

import errno
import os
import platform
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from otel_episodes import __version__
from otel_episodes_clickhouse import wording
from otel_episodes_clickhouse.config import DSN_VARIABLE, HOME_VARIABLE, SpoolSettings, Target
from otel_episodes_clickhouse.errors import StoreError, StoreLockedError
from otel_episodes_clickhouse.spool.locks import ProcessLock, is_held

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_episodes_clickhouse.spool.backlog import Backlog
    from otel_episodes_clickhouse.spool.reader import SpoolReader
    from otel_episodes_clickhouse.store.store import Store

_PACKAGES = ("opentelemetry-api", "opentelemetry-sdk", "clickhouse-connect", "chdb-core")
_MANY_WAITING = 100_000_000
# The engine refuses inserts with less.
_ROOM_BYTES = 32_000_000
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOUNS = {"agent": "an agent", "tool": "a tool", "model": "a model"}
_LATE_SECONDS = 60


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``state`` is ok, warn or fail; ``fix`` says what to do."""

    name: str
    state: str
    text: str
    fix: str = ""


def versions() -> Finding:
    """Return what is installed."""
    found = {name: _version(name) for name in _PACKAGES}
    text = f"otel-episodes {__version__}, Python {platform.python_version()}"
    text += "".join(f", {name} {version or 'not installed'}" for name, version in found.items())
    return Finding("versions", "ok", text)


def walls() -> Finding:
    """Return what the kernel holds a user's own SQL in."""
    from otel_episodes_clickhouse.store.confinement import available  # noqa: PLC0415  # not for the other commands

    walls = available()
    if walls.whole:
        return Finding("walls", "ok", f"otel-episodes sql and formulas reach the store alone (kernel: {walls})")
    text = f"the kernel walls off {walls}: otel-episodes sql and formulas are held by what they are made of alone"
    return Finding("walls", "warn", text, "Linux 5.13 or later with Landlock and seccomp has them")


def account(store: Store) -> Finding:
    """Return what an account on a server holds a user's own SQL in."""
    read_only = store.query_named("account_read_only")[0]["Value"] != "0"
    reach = [what for what in ("files", "addresses") if _may_read(store, what)]
    text = "this account may only read" if read_only else "this account may change the store"
    text += f" and reach {' and '.join(reach)} of the server" if reach else ""
    if read_only and not reach:
        return Finding("walls", "ok", f"{text}, and reach no file or address: otel-episodes sql can do no more")
    # Whoever records needs such an account; only one that was made for questions is not what it looks like.
    fix = "give it SELECT on this database alone: docs/explanation/security.md, SQL" if read_only else ""
    advice = "" if read_only else "; for otel-episodes sql by an agent make one that may not"
    return Finding("walls", "warn" if read_only else "ok", f"{text}{advice}", fix)


def _may_read(store: Store, what: str) -> bool:
    try:
        return store.is_granted(f"reads_{what}")
    except StoreError:
        # A server before 24.11 cannot say.
        return False


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def place(target: Target, dsn: str | None) -> Finding:
    """Return where episodes are kept, and who said so."""
    if dsn is not None:
        source = "--dsn"
    elif os.environ.get(DSN_VARIABLE, "").strip():  # one source a branch
        source = DSN_VARIABLE
    else:
        source = f"the default, {HOME_VARIABLE}" if os.environ.get(HOME_VARIABLE) else "the default"
    text = f"{target} (by {source})"
    if target.path is not None and target.path.is_dir():
        text += f", {wording.size(bytes_below(target.path))} on disk"
    return Finding("data", "ok", text)


def bytes_below(path: Path) -> int:
    """Return the bytes of all files of a directory."""
    return sum(_bytes_of(Path(directory) / name) for directory, _, names in os.walk(path) for name in names)


def _bytes_of(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:  # the engine merges while we look
        return 0


def spool(target: Target) -> Iterator[Finding]:
    """Yield what waits to be stored, how sending goes, and what was lost."""
    from otel_episodes_clickhouse.spool.backlog import measure  # noqa: PLC0415  # not for the other commands
    from otel_episodes_clickhouse.spool.limit import is_over_limit  # noqa: PLC0415  # likewise
    from otel_episodes_clickhouse.spool.reader import SpoolReader  # noqa: PLC0415  # likewise

    reader = SpoolReader(target.spool)
    try:
        names = reader.segments()
        limit = SpoolSettings.resolve().limit_bytes
        full = bool(names) and limit != 0 and is_over_limit(target.spool, limit)
    except OSError as error:
        yield Finding("spool", "fail", f"{target.spool}: {error.strerror}", _mend(target.spool.parent, error))
        return
    yield _waiting(target, measure(target.spool), full=full)
    yield from _shipping(target)
    yield from _left_alone(reader, names)
    yield from _owners(target)
    yield from _lost(target)
    aside = target.spool / "quarantine"
    kept = sorted(aside.iterdir()) if aside.is_dir() else []
    if kept:
        yield Finding(
            "quarantine", "warn", f"{wording.plural(len(kept), 'file')} of lines that could not be stored in {aside}",
            "each line says why; delete what you do not need",
        )  # fmt: skip


def _waiting(target: Target, waiting: Backlog, *, full: bool) -> Finding:
    text = "empty"
    if waiting.files:
        age = wording.duration(int(waiting.lag_seconds() * 1e9))
        text = (
            f"{wording.plural(waiting.rows, 'span')} ({wording.size(waiting.bytes)}) in "
            f"{wording.plural(waiting.files, 'file')} waiting in {target.spool}, the oldest for {age}"
        )
    if full:
        text += "; at its limit, so new steps are lost"
    # The embedded store takes in what waits when it is read: there only size matters.
    late = full or waiting.bytes > _MANY_WAITING or (not target.embedded and waiting.lag_seconds() > _LATE_SECONDS)
    fix = "bring it in: otel-episodes episodes" if target.embedded else "bring it in: otel-episodes ship --once"
    return Finding("spool", "warn" if late else "ok", text, fix if late else "")


def _shipping(target: Target) -> Iterator[Finding]:
    """Say how sending to the server goes, by what was written down beside the spool."""
    from otel_episodes_clickhouse.delivery.queue import LEAD  # noqa: PLC0415  # likewise
    from otel_episodes_clickhouse.spool.ledger import Ledger  # noqa: PLC0415  # likewise

    lead = ProcessLock(target.spool / LEAD)
    if is_held(lead.path):
        yield Finding("shipper", "ok", f"{lead.holder()}; agents leave sending to it")
    account = Ledger(target.spool).read()
    if not (account.exported or account.rejected or account.error_at):
        return
    text = (
        f"{wording.plural(account.exported, 'span')} sent in {wording.plural(account.inserts, 'insert')}, "
        f"{account.retries:,} retries, {account.rejected:,} rejected"
    )
    if account.shipped_at:
        text += f", the last {_ago(account.shipped_at)}"
    if account.by:
        text += f" by {account.by}"
    if not account.error:
        yield Finding("shipping", "ok", text)
        return
    wait = max(0, account.next_try - time.time_ns()) / 1e9
    text += (
        f"; failing since {wording.plural(account.failures, 'attempt')}, "
        f"next try in {wait:.0f} s; the last error, {_ago(account.error_at)}: {account.error}"
    )
    yield Finding("shipping", "warn", text, "nothing is lost meanwhile; see the error, then: otel-episodes ship --once")


def _ago(moment: int) -> str:
    return f"{wording.duration(max(0, time.time_ns() - moment))} ago"


def _left_alone(reader: SpoolReader, names: list[str]) -> Iterator[Finding]:
    from otel_episodes_clickhouse.spool.directory import FORMAT  # noqa: PLC0415  # not for the other commands

    later, copies, unreadable = [], [], []
    for name in names:
        try:
            header = reader.header(name)
            if header.format > FORMAT:
                later.append(name)
            elif header.name != name:
                copies.append(f"{name} (of {header.name})")
        except FileNotFoundError:  # brought in while we look
            continue
        except OSError as error:
            unreadable.append(f"{name} ({error.strerror})")
    if later:
        text = f"{wording.plural(len(later), 'file')} of a later version, left alone: {', '.join(later)}"
        yield Finding("later files", "warn", text, "upgrade otel-episodes here")
    if copies:
        text = f"{wording.plural(len(copies), 'file')} copied or renamed, left alone: {', '.join(copies)}"
        yield Finding("copied files", "warn", text, "remove copies; rename back what was renamed")
    if unreadable:
        text = f"{wording.plural(len(unreadable), 'file')} that cannot be read: {', '.join(unreadable)}"
        yield Finding("spool files", "warn", text, "run as the user who recorded them, or move them away")


def _owners(target: Target) -> Iterator[Finding]:
    """Name what another user has left: root looking once, or a shipper under another account."""
    directory = target.path if target.path is not None and target.path.is_dir() else target.spool
    if not directory.is_dir():
        return
    owner = os.geteuid() or directory.stat().st_uid
    foreign = [path for path in (directory, *directory.rglob("*")) if _owner_of(path) not in (owner, None)]
    if foreign:
        text = f"{wording.plural(len(foreign), 'file')} of another user than {owner}: {foreign[0]}"
        text += f" ({_owner_of(foreign[0])})" if len(foreign) == 1 else " and others"
        yield Finding("owners", "fail", text, f"give them back: sudo chown -R {owner} {directory}")


def _owner_of(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def _lost(target: Target) -> Iterator[Finding]:
    from otel_episodes_clickhouse.spool.losses import read_dropped  # noqa: PLC0415  # not for the other commands

    dropped = read_dropped(target.spool)
    if dropped:
        text = ", ".join(f"{count:,} {reason}" for reason, count in dropped.most_common())
        fix = f"see docs/explanation/faults.md; once read, delete {target.spool}/*.dropped"
        yield Finding("lost steps", "warn", text, fix)


def can_write_spool(target: Target) -> Finding:
    """Return whether something can be recorded."""
    # The nearest directory that exists: what is missing below is made by the first span.
    directory = next(path for path in (target.spool, *target.spool.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            file.write(b"room")
    except OSError as error:
        return Finding("recording", "fail", f"cannot write to {directory}: {error.strerror}", _mend(directory, error))
    return Finding("recording", "ok", f"can write to {target.spool}")


def _mend(directory: Path, error: OSError) -> str:
    if error.errno in _NO_ROOM:
        return f"make room there, or set {HOME_VARIABLE} or {DSN_VARIABLE} to another place"
    return f"give yourself access to {directory}, or set {HOME_VARIABLE} or {DSN_VARIABLE} to another place"


def store(target: Target) -> Iterator[Finding]:
    """Yield what the store says, opened for that."""
    from otel_episodes_clickhouse.store.store import Store  # noqa: PLC0415  # with the engine

    if target.path is not None and not target.path.is_dir():
        yield Finding("store", "ok", "nothing recorded here yet", "start with: otel-episodes demo")
        return
    try:
        with Store.open(target, wait_seconds=1) as store:
            yield from _open_store(store)
    except StoreLockedError as error:
        yield Finding("store", "warn", str(error), "recording goes on meanwhile; look again when it has ended")
    except StoreError as error:
        yield Finding("store", "fail", str(error), "check the DSN, and that the server runs" if target.host else "")


def _open_store(store: Store) -> Iterator[Finding]:
    from otel_episodes_clickhouse.schema import migrations  # noqa: PLC0415  # with the engine

    version = store.query_named("engine_version")[0]["Version"]
    where = "; otel-episodes serve has it open" if store.served else "; nobody else has it open"
    yield Finding("store", "ok", f"answers, ClickHouse {version}{where if store.target.embedded else ''}")
    if not store.target.embedded:
        yield account(store)
    if not migrations.is_current(store):
        yield Finding("schema", "warn", "not that of this version", "update it: otel-episodes migrate")
        return
    changes = migrations.plan(store).changes
    if changes:
        text = "; ".join(f"{change.name}: {change.why}" for change in changes[:3])
        yield Finding("schema", "warn", text, "see otel-episodes migrate --plan")
    else:
        yield Finding("schema", "ok", f"current ({migrations.version()})")
    yield from unfed_source(store)
    yield _storing(store)
    counts = store.query_named("count_episodes")[0]
    text = f"{counts['Episodes']:,}, {counts['Running']:,} running, {counts['Abandoned']:,} abandoned"
    fix = (
        "their process ended without a word: otel-episodes episodes --outcome abandoned" if counts["Abandoned"] else ""
    )
    yield Finding("episodes", "warn" if fix else "ok", text, fix)
    yield _rewards(store)
    yield from unknown_operations(store)
    yield from unread_spans(store)
    yield from only_failures(store)
    yield from lost_contexts(store)


def unfed_source(store: Store) -> Iterator[Finding]:
    """Yield the table that was to be read from and hands on nothing: it was renamed, or made again."""
    for row in store.query_named("source_unfed"):
        text = f"{row['Name']} was renamed or made again, and hands on nothing"
        yield Finding("read from", "warn", text, f"read it again: otel-episodes migrate --read-from {row['Name']}")


def _storing(store: Store) -> Finding:
    from otel_episodes_clickhouse import sql  # noqa: PLC0415  # with the engine

    try:
        store.execute(sql.named("insert_nothing"))
    except StoreError as error:
        return Finding("storing", "fail", str(error), "give this account the right to insert")
    # Nothing needs no room.
    room = free_bytes(store)
    if room is not None and room < _ROOM_BYTES:
        return Finding("storing", "fail", f"{wording.size(room)} left on its disk: no room for rows", "make room there")
    try:
        _reserve(store.target)
    except OSError as error:
        text = f"cannot add {wording.size(_ROOM_BYTES)}: {error.strerror}"
        return Finding("storing", "fail", text, "make room there")
    return Finding("storing", "ok", "can add rows")


def _reserve(target: Target) -> None:
    """Take what the engine needs, and give it back: of a quota or a limit of this user's, nothing else tells."""
    if target.path is not None and hasattr(os, "posix_fallocate"):
        with tempfile.TemporaryFile(dir=target.path) as file:
            os.posix_fallocate(file.fileno(), 0, _ROOM_BYTES)


def free_bytes(store: Store) -> int | None:
    """Return the bytes that are free where the store keeps its rows; None where that cannot be told."""
    path = store.target.path
    if path is not None:
        disk = os.statvfs(path)
        return disk.f_bavail * disk.f_frsize
    try:
        return int(store.query_named("disk_room")[0]["Bytes"])
    except StoreError:
        return None


def _rewards(store: Store) -> Finding:
    from otel_episodes_clickhouse.learning.formulas import active_formula, reward_use  # noqa: PLC0415  # not for the other commands

    judged = store.query_named("rewards_judged")[0]
    text = (
        f"{reward_use(store)} (formula {active_formula(store)}); "
        f"{judged['Judged']:,} of {wording.plural(judged['Episodes'], 'episode')} scored from outside"
    )
    return Finding("rewards", "ok", text)


def unknown_operations(store: Store) -> Iterator[Finding]:
    """Yield the operations of other instrumentations that nobody here has heard of."""
    unknown = store.query_named("unknown_operations")
    if unknown:
        names = ", ".join(f"{row['Operation']} ({wording.plural(row['Spans'], 'span')})" for row in unknown)
        yield Finding(
            "instrumentations", "warn", f"spans taken for structure, since their operation is not known: {names}",
            "if they are tools, models or agents, a newer otel-episodes may know them",
        )  # fmt: skip


def unread_spans(store: Store) -> Iterator[Finding]:
    """Yield what looks like agents, models or tools and is read as nothing, with the row that would read it."""
    for row in store.query_named("unread_spans"):
        what = f"{row['Attribute']} = {row['Value']}" if row["Value"] else row["Attribute"]
        traces, spans = (wording.plural(row[f"{noun.capitalize()}s"], noun) for noun in ("trace", "span"))
        yield Finding(
            "unread spans", "warn",
            f"{traces} of the scope {row['Scope'] or '(none)'} look like agents at work and are no episode: "
            f"{what} ({spans})",
            f'if that is a span of {_NOUNS[row["Role"]]}: otel-episodes sql --write "{row["Row"]}" && '
            "otel-episodes backfill",
        )  # fmt: skip


def only_failures(store: Store) -> Iterator[Finding]:
    """Yield services of which only failed runs arrive, as they do where a collector keeps traces by their errors."""
    for row in store.query_named("only_failures"):
        yield Finding(
            "sampling", "warn",
            f"{row['Failures']:,} of the last {row['Episodes']:,} runs of {row['ServiceName'] or '(none)'} failed: "
            "if a collector keeps traces by their errors, every rate here is of what it kept",
            "keep all traces of agents: collector-config/otelcol/gateway-sampling.yaml",
        )  # fmt: skip


def lost_contexts(store: Store) -> Iterator[Finding]:
    """Yield how many episodes lately lost their context."""
    lost = store.query_named("lost_contexts")[0]["Episodes"]
    if lost:
        yield Finding(
            "contexts", "warn", f"{wording.plural(lost, 'episode')} of the last 7 days left elsewhere than entered",
            "their steps may be missing: see 'Streaming responses and dependencies' in docs/how-to/recording.md",
        )  # fmt: skip
