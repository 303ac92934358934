"""Nobody's SQL gets out: thousands of generated statements and formulas against each wall, with canaries behind it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from canaries import canaries
from hostile_sql import expression, statement

from otel_episodes_clickhouse.config import Target
from otel_episodes_clickhouse.errors import QueryError, StoreError
from otel_episodes_clickhouse.learning import formulas
from otel_episodes_clickhouse.serve.engine import ServedEngine
from otel_episodes_clickhouse.store import confinement
from otel_episodes_clickhouse.store.confined_sql import Answer, ConfinedEngine
from otel_episodes_clickhouse.store.results import result_of
from otel_episodes_clickhouse.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping

# The whole campaign by hand: OTEL_EPISODES_CAMPAIGN=1 pytest tests/store/test_walls.py
SHARE = 1.0 if os.environ.get("OTEL_EPISODES_CAMPAIGN") else 0.02
SEED = 20_261_128
needs_kernel = pytest.mark.skipif(
    not confinement.available().whole, reason=f"this kernel walls off {confinement.available()}"
)
# What answers in `confined_engine`, without the first wall and the engine's own read-only mode.
UNCHECKED = """
from otel_episodes_clickhouse.store import store
def sql_here(self, text, parameters):
    return store.result_of(self._clients.read(lambda client: client.query(text, parameters)))
store.Store.sql_here = sql_here
"""


# The other way round: the first wall, without the kernel's.
UNCONFINED = """
from otel_episodes_clickhouse.store import confinement
confinement.confine = confinement.forbid_writing = lambda **places: None
"""


class UnconfinedEngine(ConfinedEngine):
    """Checks every statement, with no kernel behind it; what crashes the engine crashes a process of its own."""

    START = ConfinedEngine.START.replace("serve(request)", f"exec({UNCONFINED!r}); serve(request)")


class UncheckedEngine(ConfinedEngine):
    """Takes every statement, with nothing but the kernel to hold it."""

    START = ConfinedEngine.START.replace("serve(request)", f"exec({UNCHECKED!r}); serve(request)")


class UncheckedSocket(ServedEngine):
    """The engine behind the socket of `serve`, asked to read by whoever does not check what is asked."""

    def __enter__(self) -> Self:
        super().__enter__()
        self.ready()
        self._store = Store.open(self._target)
        return self

    def ask(self, text: str, parameters: Mapping[str, Any]) -> Answer:
        return Answer(result_of(self._store._read_only(text, dict(parameters))))

    def __exit__(self, *error: object) -> None:
        self._store.close()
        super().__exit__(*error)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    made = Target.resolve(f"chdb://{tmp_path_factory.mktemp('walls') / 'store'}")
    with Store.open(made) as store:
        store.migrate()
    return made


@pytest.mark.campaign
def test_no_generated_statement_gets_through_the_first_wall(target: Target, tmp_path: Path) -> None:
    assert _storm(UnconfinedEngine, target, tmp_path, SEED, int(4000 * SHARE)) > 0


@needs_kernel
@pytest.mark.campaign
def test_no_generated_statement_gets_through_the_second_wall_alone(target: Target, tmp_path: Path) -> None:
    # What changes the store is the first wall's: this one is about what lies outside.
    changes = ("CREATE", "INSERT", "BACKUP", "ATTACH", "RESTORE", "SYSTEM")
    assert _storm(UncheckedEngine, target, tmp_path, SEED + 1, int(2000 * SHARE), changes) > 0


@needs_kernel
@pytest.mark.campaign
def test_no_generated_question_gets_through_the_socket_past_the_first_wall(target: Target, tmp_path: Path) -> None:
    assert _storm(UncheckedSocket, target, tmp_path, SEED + 3, int(1000 * SHARE)) > 0


def _storm(
    kind: type[ConfinedEngine], target: Target, folder: Path, seed: int, count: int, without: tuple[str, ...] = ()
) -> int:
    """Ask generated statements and return how many; an engine that one crashes or occupies is followed by another."""
    dice = random.Random(seed)
    assert target.path is not None
    tried, left = 0, count
    with canaries(folder, target.path) as watched:
        while left:
            with kind(target) as engine:
                while left:
                    left -= 1
                    text = statement(dice, watched.places())
                    if text.lstrip("(/*-#! x\n").upper().startswith(without or "\0"):
                        continue
                    tried += 1
                    said = _in_time(engine, text)
                    assert watched.secret not in said, text
                    assert (watched.opened(), watched.fetched, watched.written()) == (0, 0, []), text
                    if engine._process.poll() is not None:
                        break
    return tried


@pytest.mark.campaign
def test_no_generated_formula_gets_out_or_leaves_a_view(target: Target, tmp_path: Path) -> None:
    dice = random.Random(SEED + 2)
    assert target.path is not None
    rest = ", ".join(f"1 AS {name}" for name in ("Base", "Abstention", "Efficiency", "ComplexityBonus", "Quality"))
    file = tmp_path / "mine.sql"
    with Store.open(target) as store, canaries(tmp_path, target.path) as watched:
        for _ in range(int(1000 * SHARE)):
            hostile = expression(dice, watched.places())
            text = f"SELECT EpisodeId, toFloat64(length(toString({hostile}))) AS Total, {rest}, 0 AS LearningBonus"
            file.write_text(
                f"{text} FROM reward_inputs" + dice.choice(("", " INTO OUTFILE 'absent'", ";", "; SELECT 1"))
            )
            watched.opened()
            formula = formulas.formula_named(str(file))
            said = _answer(lambda: formulas.install_formula(store, formula))  # noqa: B023  # called at once
            assert watched.secret not in said, text
            assert (watched.opened(), watched.fetched, watched.written()) == (0, 0, []), text
        views = store.query("SELECT name FROM system.tables WHERE startsWith(name, 'internal_reward_user')")
    assert views == []


def _in_time(engine: ConfinedEngine, text: str) -> str:
    late = threading.Timer(5, engine._process.kill)
    late.start()
    try:
        return _answer(lambda: str(engine.ask(text, {}).result.rows))
    finally:
        late.cancel()


def _answer(ask: object) -> str:
    try:
        return str(ask())  # type: ignore[operator]
    except (StoreError, formulas.FormulaError) as error:
        return f"{type(error).__name__}: {error}"


def test_a_question_takes_no_more_of_the_machine_than_it_may(target: Target) -> None:
    for text, said in (
        ("SELECT number FROM numbers(30000000)", "Limit for result exceeded, max rows"),
        ("SELECT length(groupArray(number)) FROM numbers(2000000000)", "memory limit exceeded.*: ask for less"),
        ("SELECT " + "[" * 900 + "1" + "]" * 900, "nested too deeply"),
    ):
        with ConfinedEngine(target) as engine, pytest.raises(QueryError, match=said):
            engine.ask(text, {})


@needs_kernel
def test_a_statement_cannot_write_into_the_store_s_own_directory(target: Target) -> None:
    assert target.path is not None
    file = target.path / "absent"
    with UncheckedEngine(target) as engine, pytest.raises(StoreError, match="Permission denied"):
        engine.ask(f"SELECT 1 INTO OUTFILE '{file}'", {})
    assert not file.exists()


@needs_kernel
def test_what_asks_the_engine_has_no_secrets_of_the_environment(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AN_API_KEY", "made-up-secret")
    with UncheckedEngine(target) as engine, pytest.raises(StoreError):
        engine.ask("SELECT file('/proc/self/environ')", {})
    kept = subprocess.run([sys.executable, "-c", ENVIRONMENT], capture_output=True, text=True, check=True)
    assert "made-up-secret" not in kept.stdout


ENVIRONMENT = """
from otel_episodes_clickhouse.store.confined_sql import _environment
print(_environment("/tmp"))
"""


def test_large_results_and_values_of_every_kind_come_through(target: Target) -> None:
    with ConfinedEngine(target) as engine:
        many = engine.ask("SELECT number, toString(number) AS t FROM numbers(300000)", {}).result
        kinds = engine.ask(
            "SELECT toDate('2026-01-31'), toDateTime64('2026-01-31 01:02:03', 3), toDecimal32(1, 2), toUInt256(7), "
            "toUUID('00000000-0000-0000-0000-000000000001'), toIPv4('127.0.0.1'), map('a', [1]), (1, 'b'), NULL, "
            "inf, unhex('ff')",
            {},
        ).result
    assert (len(many.rows), many.rows[-1]) == (300_000, (299_999, "299999"))
    assert [str(value) for value in kinds.rows[0]] == [
        "2026-01-31", "2026-01-31 01:02:03", "1.00", "7", "00000000-0000-0000-0000-000000000001", "127.0.0.1",
        "{'a': [1]}", "(1, 'b')", "None", "inf", "ff",
    ]  # fmt: skip


def test_the_process_that_asks_ends_with_the_one_that_started_it(target: Target) -> None:
    assert target.path is not None
    script = ASKING.format(path=str(target.path))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        child = int(asking.stdout.readline())
        asking.send_signal(signal.SIGINT)
        try:
            assert asking.wait(timeout=30) != 0
        finally:
            asking.kill()
    until = time.monotonic() + 30
    while Path(f"/proc/{child}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()


ASKING = """
import signal
# Of what runs in the background of a shell it is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from otel_episodes_clickhouse.serve.engine import ServedEngine
from otel_episodes_clickhouse.store.confined_sql import Answer, ConfinedEngine
from otel_episodes_clickhouse.store.results import result_of
from otel_episodes_clickhouse.config import Target
with ConfinedEngine(Target.resolve("chdb://{path}")) as engine:
    print(engine._process.pid, flush=True)
    engine.ask("SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(number)", {{}})
"""
