"""Asking in the middle of a run, from Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli_fixtures import Shell, opened

from otel_episodes import UsageError, episode
from otel_episodes_clickhouse.advice.advise import Advice, advise
from otel_episodes_clickhouse.advice.advise import ask as ask_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_episodes_clickhouse import Store

# Ten runs that looked first and went well, ten that did not and failed; and what is learned from them.
LIVE_AND_LEARN = """
import sys
from otel_episodes import configure, episode, log_step
from otel_episodes_clickhouse.learning import jobs
from otel_episodes_clickhouse import Store, Target

configure(dsn=sys.argv[1])
for number in range(20):
    with episode("climb", domain="hills") as ep:
        log_step(tool="act" if number % 2 else "look")
        log_step(tool="act")
        if number % 2:
            ep.fail()
with Store.open(Target.resolve(sys.argv[1])) as store:
    store.drain()
    jobs.run(store, "patterns")
"""

# A run that asks twice, while its own process records it.
ASK = """
import sys
from otel_episodes import configure, episode, log_step
from otel_episodes_clickhouse import advise

configure(dsn=sys.argv[1])
with episode("climb", domain="hills") as ep:
    before = advise(ep, asked=True, dsn=sys.argv[1])
    log_step(tool="look")
    after = advise(ep, asked=True, dsn=sys.argv[1])
    log_step(tool="act")
print(before.probability, after.probability, after.next_steps[0].tool)
same = {"asked": True, "dsn": sys.argv[1]}
print(advise(ep.id, **same) == advise(domain="hills", task="climb", tools=["look", "act"], **same))
"""


@pytest.fixture(scope="module")
def dsn(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a store with a past. It is asked in processes of their own: the engine takes one directory each."""
    place = tmp_path_factory.mktemp("advice") / "chdb"
    shutil.copytree(migrated, place, symlinks=True)
    ask(LIVE_AND_LEARN, f"chdb://{place}")
    return f"chdb://{place}"


@pytest.fixture(scope="module")
def kept(dsn: str) -> Iterator[Shell]:
    """Return a shell over the same store, which keeps it: for the tests after those that open it by themselves."""
    with opened(Path(dsn.removeprefix("chdb://")).parent) as shell:
        yield shell


def ask(program: str, dsn: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, dsn],
        env={**os.environ, **environ}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_agent_asks_about_the_run_that_it_is_in(dsn: str) -> None:
    odds, same = ask(ASK, dsn).splitlines()
    before, after, best = odds.split()
    assert float(before) == pytest.approx(0.5, abs=0.01)
    assert float(after) > 0.6
    assert best == "act"
    assert same == "True"


def test_an_agent_asks_a_server(storage_server: str, tmp_path: Path) -> None:
    home = str(tmp_path / "home")  # where the spool is
    ask(LIVE_AND_LEARN, storage_server, OTEL_EPISODES_HOME=home)
    odds, same = ask(ASK, storage_server, OTEL_EPISODES_HOME=home).splitlines()
    assert float(odds.split()[1]) > 0.6
    assert same == "True"


def test_what_is_about_to_be_done_can_be_weighed_and_an_episode_that_is_not_recorded_is_wrong_use(dsn: str) -> None:
    weigh = (
        "import sys; from otel_episodes_clickhouse.advice.advise import advise\n"
        "from otel_episodes import UsageError\n"
        "run = {'domain': 'hills', 'task': 'climb', 'dsn': sys.argv[1]}\n"
        "print([advise(**run, tools=[tool]).probability > 0.5 for tool in ('look', 'act')])\n"
        "try:\n    advise('nobody', dsn=sys.argv[1])\nexcept UsageError as error:\n    print(error)"
    )
    weighed, refused = ask(weigh, dsn).splitlines()
    assert weighed == "[True, False]"
    assert refused.startswith("no episode nobody is recorded in chdb://")


def test_without_a_past_the_odds_are_even_and_nothing_is_next(storage_store: Store) -> None:
    run = {"episode": "", "domain": "never", "task": "", "tools": [], "ended": False}
    unknown = ask_store(storage_store, run)
    assert unknown == Advice(0.5, 0.5, 0.5, 0, 0, ())


def test_an_episode_that_has_not_started_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="has not started"):
        advise(episode("later"))


# A run that is in its middle: its process is gone, its steps are in the spool, and no job has seen it.
IN_THE_MIDDLE = """
import os, sys
from otel_episodes import configure, episode, log_step

configure(dsn=sys.argv[1])
ep = episode("climb", domain="hills").__enter__()
log_step(tool="look")
print(ep.id, flush=True)
os._exit(0)
"""

# The same by another instrumentation, which knows of no domain; its agent has not ended.
BY_A_FRAMEWORK = """
import os
import sys
from opentelemetry import trace
from otel_episodes import configure

configure(dsn=sys.argv[1], include_agents=True)
tracer = trace.get_tracer("framework")
agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "climber"}
asked = '[{"role": "user", "parts": [{"type": "text", "content": "climb"}]}]'
model = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "test", "gen_ai.input.messages": asked}
tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look"}
with tracer.start_as_current_span("invoke_agent climber", attributes=agent) as span:
    for attributes in (model, tool):
        with tracer.start_as_current_span("work", attributes=attributes):
            pass
    print(format(span.get_span_context().trace_id, "032x"), flush=True)
    os._exit(0)
"""


@pytest.mark.parametrize(
    ("program", "same"),
    [
        (IN_THE_MIDDLE, ("--domain", "hills", "--task", "climb", "--tool", "look")),
        (BY_A_FRAMEWORK, ("--task", "climb", "--tool", "look")),
    ],
    ids=["running", "framework"],
)
def test_the_commands_know_a_run_that_no_job_has_seen(
    dsn: str, kept: Shell, program: str, same: tuple[str, ...]
) -> None:
    identifier = ask(program, dsn).strip()
    for command in ("outlook", "next"):
        expected = kept(command, *same, "--json").json
        assert kept(command, identifier, "--json").json == kept(command, identifier[:12], "--json").json == expected


def test_an_id_that_nobody_has_is_said_to_be_so(kept: Shell) -> None:
    ran = kept("outlook", "no-such-episode", "--json")
    assert ran.code == 1
    assert "no episode's id begins with no-such-episode" in ran.err
