"""From the recording API to the tables, with the processes and the deaths of real life."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from otel_episodes_clickhouse import Store, Target

if TYPE_CHECKING:
    from pathlib import Path

AGENT = """
import sys, time
from otel_episodes import configure, episode, step
configure(dsn=sys.argv[1])
with episode(sys.argv[2], agent="coder") as ep:
    for n in range(int(sys.argv[3])):
        with step("work", action=f"{sys.argv[2]} {n}"):
            pass
        if len(sys.argv) > 4:
            print(n, flush=True)
            time.sleep(0.01)
"""


def agent(dsn: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", AGENT, dsn, *arguments], stdout=subprocess.PIPE, text=True)


def test_kill_9_in_the_middle_of_an_episode_leaves_every_finished_step_and_the_episode_itself(tmp_path: Path) -> None:
    dsn = f"chdb://{tmp_path}/db"
    with agent(dsn, "long task", "1000", "slowly") as process:
        assert process.stdout is not None
        finished = [next(process.stdout) for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        finished += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    with Store.open(Target.resolve(dsn)) as store:
        store.migrate()
        store.drain()
        (episode,) = store.query("SELECT Task, AgentName, Outcome, Steps, FailedSteps, Tools FROM episodes")
        assert episode["Steps"] in (len(finished), len(finished) + 1)  # the last one may have died before its print
        del episode["Steps"]
        assert episode == {
            "Task": "long task",
            "AgentName": "coder",
            "Outcome": "running",
            "FailedSteps": 0,
            "Tools": ["work"],
        }
        indices = store.query("SELECT arraySort(groupArray(StepIndex)) AS i, count() AS n FROM internal_steps FINAL")
        assert indices[0]["i"] == list(range(1, indices[0]["n"] + 1))
        store.sql(
            "INSERT INTO internal_settings (Name, Value) VALUES ('abandoned_after_seconds', '0')", read_only=False
        )
        assert store.query("SELECT Outcome FROM episodes") == [{"Outcome": "abandoned"}]


def test_several_agents_record_at_once_while_a_reader_reads(tmp_path: Path) -> None:
    dsn = f"chdb://{tmp_path}/db"
    with ExitStack() as processes, Store.open(Target.resolve(dsn)) as store:
        store.migrate()
        agents = [processes.enter_context(agent(dsn, f"task {n}", "300")) for n in range(4)]
        drains = 0
        while any(process.poll() is None for process in agents):
            store.drain()
            drains += 1
        assert [process.wait() for process in agents] == [0, 0, 0, 0]
        store.drain()
        assert drains > 1
        found = store.query("SELECT Task, Outcome, Steps FROM episodes ORDER BY Task")
        assert found == [{"Task": f"task {n}", "Outcome": "success", "Steps": 300} for n in range(4)]
        spans = store.query("SELECT count() AS n, uniqExact(TraceId, SpanId) AS u FROM otel_traces")
        assert spans == [{"n": 4 * 302, "u": 4 * 302}]


def test_an_episode_written_by_three_processes_is_one_episode(tmp_path: Path) -> None:
    dsn = f"chdb://{tmp_path}/db"

    def run(code: str, *arguments: str) -> str:
        code = "import sys\nfrom otel_episodes import configure, episode, log_step\nconfigure(dsn=sys.argv[1])\n" + code
        done = subprocess.run([sys.executable, "-c", code, dsn, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    handle = run(
        "print(episode('Nightly', agent='ci', domain='web', tags=['a'], complexity='simple').start().leave_open())"
    )
    for n in range(3):
        run(f"with episode.resume(sys.argv[2]): log_step(tool='cargo', action='{n}', output_tokens=9)", handle)
    run("with episode.resume(sys.argv[2]) as ep: log_step(tool='llm', output_tokens=1); ep.partial(2, 1)", handle)
    with Store.open(Target.resolve(dsn)) as store:
        store.migrate()
        store.drain()
        (episode,) = store.query(
            "SELECT Task, AgentName, Domain, Tags, Complexity, Outcome, Completed, Failed, Steps, "
            "OutputTokens, Segments FROM episodes"
        )
        assert episode == {
            "Task": "Nightly",
            "AgentName": "ci",
            "Domain": "web",
            "Tags": ["a"],
            "Complexity": "simple",
            "Outcome": "partial",
            "Completed": 2,
            "Failed": 1,
            "Steps": 4,
            "OutputTokens": 28,
            "Segments": 1,
        }
        actions = store.query("SELECT Action, StepIndex FROM internal_steps FINAL ORDER BY StartTime")
        assert actions == [{"Action": action, "StepIndex": 0} for action in ("0", "1", "2", "")]
