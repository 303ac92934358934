"""The tools of the Model Context Protocol, asked by the SDK's own client."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from learning_data import SECOND, Episode, rows_of
from mcp import Client, StdioServerParameters
from serving import serving

from otel_episodes_clickhouse import run_jobs
from otel_episodes_clickhouse.advice.mcp_server import server

if TYPE_CHECKING:
    from pathlib import Path

    from otel_episodes_clickhouse import Store

# About four characters a token, as everywhere here.
_CHARACTERS_A_TOKEN = 4


@pytest.fixture(scope="module")
def learned(storage_store: Store) -> Store:
    """Return a store that has seen a call fail and be put right, five times each."""
    for place in range(5):
        steps = (
            [("find", True), ("cancel", False), ("refund", True)] if place < 5 else [("find", True), ("refund", True)]
        )
        run = Episode(
            f"run-{place}", task=f"cancel order W-{place}", domain="retail", steps=steps,
            start=time.time_ns() - (90_000 + place) * SECOND,
            outcome="success" if place % 2 else "failure", errors={1: "the order was paid already"},
        )  # fmt: skip
        storage_store.insert_rows(rows_of(run))
    run_jobs(storage_store)
    return storage_store


async def call(store: Store, tool: str, **arguments: Any) -> tuple[bool, str]:
    async with Client(server(lambda: nullcontext(store))) as client:
        answer = await client.call_tool(tool, arguments)
    return bool(answer.is_error), answer.content[0].text


async def test_four_tools_of_which_three_only_read_take_few_tokens(learned):
    async with Client(server(lambda: nullcontext(learned))) as client:
        listed = (await client.list_tools()).tools

    assert [tool.name for tool in listed] == ["advise", "similar_runs", "show", "feedback"]
    assert [tool.annotations.read_only_hint for tool in listed] == [True, True, True, False]
    shown = [{"name": tool.name, "description": tool.description, "input_schema": tool.input_schema} for tool in listed]
    tokens = len(json.dumps(shown, ensure_ascii=False)) / _CHARACTERS_A_TOKEN
    print(f"\n{tokens:.0f} tokens of descriptions and schemas")
    assert tokens <= 540


async def test_advice_is_told_with_its_items_and_answered_with_feedback(learned):
    wrong, text = await call(learned, "advise", task="cancel order W-9", domain="retail", about_to_use="cancel")
    told = json.loads(text)

    assert not wrong
    assert "cancel failed in 5 of 5 runs" in told["brief"]
    assert "warning" in {item["kind"] for item in told["items"]}
    item = next(item["id"] for item in told["items"] if item["kind"] == "warning")
    wrong, text = await call(
        learned, "feedback", advice=told["advice"], verdict="helped", item=item, note="it was paid"
    )
    assert (wrong, json.loads(text)) == (False, {"persisted": True, "advice": told["advice"], "verdict": "helped"})
    said = learned.query("SELECT Helped FROM advice WHERE AdviceId = {id:String}", {"id": told["advice"]})
    assert said == [{"Helped": 1}]


async def test_runs_like_a_text_are_found_and_one_is_shown(learned):
    _, text = await call(learned, "similar_runs", query="cancel order W-3", domain="retail", limit=1)
    (found,) = json.loads(text)

    _, shown = await call(learned, "show", id=found["best"] or found["last_failed"], budget=200)

    assert found["task"].startswith("cancel order W-")
    assert shown.splitlines()[3].startswith("Goal: cancel order W-")
    assert len(shown) <= 200 * _CHARACTERS_A_TOKEN


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("advise", {}, "say what is to be done"),
        ("advise", {"task": "x", "about_to_use": "book [1]"}, "use TOOL, or TOOL and a JSON object"),
        ("advise", {"task": "x", "budget": 9000}, "budget"),
        ("show", {"id": "nobody"}, "no episode has the id nobody"),
        ("feedback", {"advice": "none", "verdict": "helped"}, "no advice has an id"),
    ],
)
async def test_wrong_use_is_an_answer_that_says_what_is_wrong(learned, tool, arguments, message):
    wrong, text = await call(learned, tool, **arguments)

    assert wrong
    assert message in text


async def test_the_command_answers_over_stdin_and_stdout(tmp_path: Path):
    environment = {"OTEL_EPISODES_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    program = ["-m", "otel_episodes_clickhouse.cli", "mcp"]

    async with Client(StdioServerParameters(command=sys.executable, args=program, env=environment)) as client:
        listed = await client.list_tools()

    assert len(listed.tools) == 4


async def test_serve_answers_the_same_at_mcp(migrated: Path, tmp_path: Path):
    shutil.copytree(migrated, tmp_path / "store", symlinks=True)

    with serving(f"chdb://{tmp_path / 'store'}") as running:
        async with Client(f"{running.url}/mcp") as client:
            listed = await client.list_tools()
            answer = await client.call_tool("show", {"id": "nobody"})

    assert len(listed.tools) == 4
    assert "no episode has the id nobody" in answer.content[0].text
