"""What type checkers must see; checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import assert_type

from otel_episodes import Batch, Episode, Step, current_episode, current_step, episode, log_step, step, with_context


@step
def bare(pattern: str, limit: int = 3) -> list[str]:
    return [pattern] * limit


@step(tool="grep", action="search {pattern}", success=lambda hits: len(hits) > 0)
def configured(pattern: str) -> list[str]:
    return [pattern]


@step(expected=(KeyError, OSError))
def expecting(key: str) -> str:
    return key


@step("fetch")
async def coroutine(url: str) -> bytes:
    return url.encode()


@step
def generator(n: int) -> Generator[int, str, bool]:
    yield n
    return True


@step
async def async_generator(n: int) -> AsyncGenerator[int, None]:
    yield n


@step
class Tool:
    def __init__(self, root: str) -> None:
        self.root = root

    @step
    def method(self, n: int) -> int:
        return n

    @classmethod
    @step
    def create(cls, root: str) -> Tool:
        return cls(root)


@episode
def run(task: str) -> int:
    return len(task)


@episode("Fix {issue}", agent="coder", complexity="moderate", tags=["ci"])
async def fix(issue: int) -> str:
    return str(issue)


def types_are_kept() -> None:
    assert_type(bare("x"), list[str])
    assert_type(bare("x", limit=2), list[str])
    assert_type(configured("x"), list[str])
    assert_type(expecting("x"), str)
    assert_type(generator(1), Generator[int, str, bool])
    assert_type(async_generator(1), AsyncGenerator[int, None])
    assert_type(Tool("x"), Tool)
    assert_type(Tool("x").method(1), int)
    assert_type(Tool.create("x"), Tool)
    assert_type(run("x"), int)
    assert_type(with_context(bare)("x"), list[str])
    bare(1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Tool(1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def coroutines_are_kept() -> None:
    assert_type(await coroutine("x"), bytes)
    assert_type(await fix(3), str)
    assert_type(await with_context(coroutine)("x"), bytes)
    async with episode("t") as ep, step("x") as s:
        assert_type(ep, Episode)
        assert_type(s, Step)


def blocks_have_types() -> None:
    with episode("t", agent="coder") as ep, step("cargo", action="build") as s:
        assert_type(ep, Episode)
        assert_type(s, Step)
        s.tokens(input=1, output=2)
        ep.log_step(tool="cargo", latency_ms=3.5, success=False)
        log_step(tool="cargo", observation="x")
        with ep.batch("cargo") as b:
            assert_type(b, Batch)
            b.add("x", latency_ms=1)
        ep.log_step(tol="cargo")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    assert_type(current_episode(), Episode)
    assert_type(current_step(), Step)
    assert_type(episode.resume("handle"), Episode)
