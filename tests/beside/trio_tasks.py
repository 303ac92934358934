"""Trio and AnyIO: nurseries, a scope that is cancelled, an async generator left early, a thread."""

import gc

import anyio
import trio
from beside import check, done, recording

from otel_episodes import episode, step


@step
async def work(sleep, seconds):
    await sleep(seconds)


@step
async def numbers(sleep):
    for n in range(5):
        await sleep(0)
        yield n


@step
def in_a_thread(n):
    return n


async def in_trio():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(work, trio.sleep, 0)
        nursery.start_soon(work, trio.sleep, 0)
    async for n in numbers(trio.sleep):
        if n == 1:
            break
    with trio.move_on_after(0.01):
        await work(trio.sleep, 5)
    await trio.to_thread.run_sync(in_a_thread, 1)


async def in_anyio():
    async with anyio.create_task_group() as group:
        group.start_soon(work, anyio.sleep, 0)
    with anyio.move_on_after(0.01):
        async for _ in numbers(anyio.sleep):
            await anyio.sleep(5)
    await anyio.to_thread.run_sync(in_a_thread, 1)


for name, run, main, steps in (("trio", trio.run, in_trio, 5), ("anyio", anyio.run, in_anyio, 3)):
    with recording() as recorded:
        with episode("t") as ep:
            run(main)
            gc.collect()
        check(f"{name}: each step is in the episode", [s.trace_id for s in recorded.steps] == [ep.trace_id] * steps)
done("trio", "anyio")
