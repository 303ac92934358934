"""Where runs come from: compressed files, archives, directories; and sessions of agents in their odder shapes."""

from __future__ import annotations

import gzip
import json
import shutil
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from transcripts import OWN, read

if TYPE_CHECKING:
    from pathlib import Path

    from otel_episodes_clickhouse.importers.run import Run

CHAT = (OWN / "chat" / "runs.jsonl").read_bytes()
LOG = (OWN / "inspect-ai" / "log.json").read_bytes()


def tasks(runs: list[Run]) -> list[str]:
    return [run.task for run in runs]


def zstd(data: bytes) -> bytes:
    zstandard = pytest.importorskip("zstandard")
    return bytes(zstandard.ZstdCompressor().compress(data))


@pytest.mark.parametrize("compress", [gzip.compress, zstd], ids=["gzip", "zstd"])
def test_a_compressed_file_is_read_whatever_its_name(tmp_path, compress):
    (tmp_path / "runs.log").write_bytes(compress(CHAT))

    assert tasks(read(tmp_path / "runs.log")) == ["Feed the cat", "Feed the dog"]


def test_compressed_data_that_breaks_off_gives_what_came_before(tmp_path):
    (tmp_path / "runs.gz").write_bytes(gzip.compress(CHAT * 200)[:-20])
    problems: list[str] = []

    assert "Feed the cat" in tasks(read(tmp_path / "runs.gz", problems=problems))
    assert [problem for problem in problems if "cannot be read" in problem]


def test_an_archive_is_read_file_by_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a/runs.jsonl", CHAT)
        archive.writestr("notes.txt", "not a run")
        archive.writestr("b/log.json", LOG)

    assert tasks(read(tmp_path / "all.zip")) == [
        "Feed the cat",
        "Feed the dog",
        "Moor the ship",
        "crew",
        "Find the buoy",
    ]


def test_what_lies_beside_a_run_in_an_archive_is_found_as_in_a_directory(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for file in sorted(OWN.glob("[ac]*/**/*.json*")):
            archive.write(file, file.relative_to(OWN))
        archive.writestr("../outside.jsonl", CHAT)

    directory = tmp_path / "all"
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        archive.extractall(directory)

    def seen(path: Path) -> list[tuple[Any, ...]]:
        return [(run.id, run.parent_id, run.outcome, len(run.steps)) for run in read(path, problems=[])]

    assert seen(tmp_path / "all.zip") == seen(directory)
    assert not (tmp_path / "outside.jsonl").exists()


def test_a_trial_is_one_run_however_often_it_was_logged(tmp_path):
    shutil.copytree(OWN / "atif" / "trial", tmp_path / "trial")
    (raw,) = read(tmp_path / "trial" / "agent" / "gemini-cli.trajectory.json")
    (made,) = read(tmp_path)
    (tmp_path / "trial" / "agent" / "trajectory.json").unlink()
    (tmp_path / "trial" / "agent" / "trajectory.cont-1.json").unlink()
    (alone,) = read(tmp_path)

    assert [(run.format, run.outcome, run.reward) for run in (raw, made, alone)] == [
        ("gemini-cli", "success", 1.0), ("atif", "success", 1.0), ("gemini-cli", "success", 1.0),
    ]  # fmt: skip


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_log_of_inspect_in_its_archive_is_the_same_runs(tmp_path, method):
    log = json.loads(LOG)
    with zipfile.ZipFile(tmp_path / "log.eval", "w", method) as archive:
        archive.writestr("header.json", json.dumps({name: value for name, value in log.items() if name != "samples"}))
        for sample in log["samples"]:
            # Python writes a score that is none as NaN.
            spoilt = {**sample, "metadata": {"share": float("nan")}}
            archive.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(spoilt))
        archive.writestr("samples/broken_epoch_1.json", "{")
    problems: list[str] = []

    assert read(tmp_path / "log.eval", problems=problems) == read(OWN / "inspect-ai" / "log.json")
    assert [problem.partition(":")[0] for problem in problems] == ["samples/broken_epoch_1.json"]


def test_in_a_directory_other_files_are_passed_over(tmp_path):
    shutil.copytree(OWN / "atif", tmp_path / "job")
    (tmp_path / "job" / "settings.json").write_text('{"a": 1}')
    (tmp_path / "job" / "picture.png").write_bytes(b"\0")

    runs = read(tmp_path)

    assert [(run.task, run.outcome, len(run.steps)) for run in runs] == [
        ("Dig the ditch", "", 1),
        ("Dig the ditch", "success", 2),
    ]


def test_a_named_format_alone_is_read(tmp_path):
    problems: list[str] = []

    assert read(OWN / "chat" / "runs.jsonl", format="anthropic", problems=problems) == []
    assert problems[0].startswith("not in the form of anthropic: an object with run_id")


def test_sessions_without_an_id_are_not_one(tmp_path):
    session = (OWN / "gemini-cli" / "session-2.jsonl").read_text().splitlines(keepends=True)[1:]
    (tmp_path / "a.jsonl").write_text("".join(session))
    (tmp_path / "b.jsonl").write_text("".join(session).replace("flour", "salt"))

    one, other = read(tmp_path)

    assert (one.task, other.task) == ("Weigh the flour", "Weigh the salt")
    assert one.id != other.id != ""


# --- Claude Code ---------------------------------------------------------------------------------------------------


def line(uuid: str, parent: str | None, kind: str, content: Any, *, session: str = "s", **more: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"role": kind, "content": content}
    if kind == "assistant":
        message |= {"id": f"m-{uuid}", "model": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}
    return {"type": kind, "uuid": uuid, "parentUuid": parent, "sessionId": session, "message": message, **more}


def use(identifier: str, name: str, **given: Any) -> list[dict[str, Any]]:
    return [{"type": "tool_use", "id": identifier, "name": name, "input": given}]


def result(identifier: str, text: str) -> list[dict[str, Any]]:
    return [{"type": "tool_result", "tool_use_id": identifier, "content": text}]


def written(path: Any, lines: list[dict[str, Any]]) -> Any:
    path.write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    return path


def test_an_agent_in_the_same_file_is_linked_by_what_it_was_asked(tmp_path):
    runs = read(written(tmp_path / "s.jsonl", [
        line("1", None, "user", "Do it"),
        line("2", "1", "assistant", use("c", "Task", prompt="Look around")),
        line("3", None, "user", "Look around", isSidechain=True),
        line("4", "3", "assistant", use("d", "Grep", pattern="x"), isSidechain=True),
        line("5", "4", "user", result("d", "1 place"), isSidechain=True),
        line("6", "2", "user", result("c", "looked")),
    ]))  # fmt: skip

    main, agent = runs
    assert ([step.tool for step in main.steps], [step.tool for step in agent.steps]) == (["Task"], ["Grep"])
    assert main.steps[0].sub_agents[0].task == agent.task == "Look around"
    assert (agent.parent_id, agent.parent_call_id) == ("s", "c")


def test_a_branch_that_was_left_by_rewinding_is_marked_and_its_tokens_count(tmp_path):
    (run,) = read(written(tmp_path / "s.jsonl", [
        line("1", None, "user", "Do it"),
        line("2", "1", "assistant", use("a", "Read")),
        line("3", "2", "user", result("a", "text")),
        line("4", "3", "assistant", [{"type": "text", "text": "What next?"}]),
        line("5", "4", "user", "Delete all"),
        line("6", "5", "assistant", use("b", "Bash")),
        line("7", "6", "user", result("b", "gone")),
        line("8", "4", "user", "Delete one"),
        line("9", "8", "assistant", use("c", "Bash")),
        line("10", "9", "user", result("c", "gone")),
    ]))  # fmt: skip

    assert [(step.id, step.attributes) for step in run.steps] == [
        ("a", {}),
        ("b", {"episode.step.abandoned": True}),
        ("c", {}),
    ]
    assert (run.usage.input, [text for _, text in run.prompts]) == (4, ["Delete all", "Delete one"])


def test_a_session_that_goes_on_from_another_does_not_repeat_its_lines(tmp_path):
    first = [line("1", None, "user", "Do it"), line("2", "1", "assistant", use("a", "Read"))]
    more = [line("3", "2", "user", "And that", session="t"), line("4", "3", "assistant", use("b", "Bash"), session="t")]
    written(tmp_path / "s.jsonl", first)
    written(tmp_path / "t.jsonl", [*({**one, "sessionId": "t"} for one in first), *more])

    runs = read(tmp_path)

    assert [(run.id, run.task, [step.id for step in run.steps]) for run in runs] == [
        ("s", "Do it", ["a"]),
        ("t", "And that", ["b"]),
    ]


def test_the_file_of_an_agent_alone_names_its_parent(tmp_path):
    shutil.copy(next(OWN.glob("claude-code/*/subagents/agent-beef01.jsonl")), tmp_path)

    (agent,) = read(tmp_path)

    assert (agent.task, agent.parent_id) == ("Where do we round?", "3e0d0f10-1111-4222-8333-000000000001")


@pytest.mark.parametrize("name", ["type", "message"])
def test_a_line_of_odd_values_costs_itself_alone(tmp_path, name):
    lines = [line("a", None, "user", "Do it"), line("b", "a", "assistant", use("t1", "Bash", command="ls"))]
    odd = {**line("c", "b", "user", result("t1", "no")), name: [{}]}
    path = written(tmp_path / "s.jsonl", [*lines, odd, line("d", "b", "user", result("t1", "a.txt"))])
    problems: list[str] = []

    (run,) = read(path, problems=problems)

    assert [(step.tool, step.observation) for step in run.steps] == [("Bash", "a.txt")]
    assert all("not in the form it seems to have" in problem for problem in problems)


def test_a_line_that_is_being_written_costs_itself_alone(tmp_path):
    path = written(tmp_path / "s.jsonl", [line("1", None, "user", "Do it")])
    with path.open("a") as file:
        file.write('{"type": "assistant", "mess')
    problems: list[str] = []

    assert tasks(read(path, problems=problems)) == ["Do it"]
    assert len(problems) == 1
