"""Generators and async generators: the span covers the iteration, and nothing leaks between."""

import asyncio
import contextvars
import gc
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import baggage, context, trace

from otel_episodes import current_episode, current_step, episode, step, with_context
from otel_episodes.testing import capture_episodes


@step
def echo(limit):
    received = []
    try:
        while len(received) < limit:
            try:
                received.append((yield len(received)))
            except KeyError as error:
                received.append(error)
    finally:
        echo_closed.append(True)
    return received


echo_closed: list[bool] = []


@step
async def count(n):
    for i in range(n):
        await asyncio.sleep(0)
        yield i


def only(recorded):
    (span,) = recorded.steps
    return span


def test_a_generator_is_one_step_from_its_first_item_to_its_last():
    with capture_episodes() as recorded, episode("t"):
        generator = echo(2)
        assert recorded.steps == []
        assert list(generator) == [0, 1]
    assert only(recorded).attributes["episode.step.observation"] == "2 items"
    assert only(recorded).attributes["episode.step.action"] == '{"limit": 2}'
    assert only(recorded).status == "UNSET"


def test_send_throw_and_the_return_value_work():
    with capture_episodes() as recorded, episode("t"):
        generator = echo(3)
        assert next(generator) == 0
        assert generator.send("a") == 1
        assert generator.throw(KeyError("k")) == 2
        with pytest.raises(StopIteration) as stop:
            generator.send("b")
    first, second, third = stop.value.value
    assert (first, type(second), third) == ("a", KeyError, "b")
    assert only(recorded).status == "UNSET"


def test_an_exception_thrown_in_and_not_caught_fails_the_step_and_passes_through():
    error = ValueError("stop it")
    with capture_episodes() as recorded, episode("t") as ep:
        generator = echo(3)
        next(generator)
        with pytest.raises(ValueError, match="stop it") as caught:
            generator.throw(error)
        ep.succeed()
    assert caught.value is error
    assert only(recorded).attributes["error.type"] == "ValueError"


def test_an_early_close_ends_the_step_without_failing_it():
    echo_closed.clear()
    with capture_episodes() as recorded, episode("t"):
        for item in echo(9):
            if item == 2:
                break
        gc.collect()
        span = only(recorded)
    assert echo_closed == [True]
    assert (span.status, span.attributes["episode.step.observation"]) == ("UNSET", "3 items")


def test_the_current_span_is_the_generators_inside_and_the_callers_outside():
    inside = []

    @step(tool="inner")
    def items():
        for i in range(2):
            inside.append(trace.get_current_span().name)
            yield i

    with capture_episodes() as recorded, episode("t"), step("outer"):
        before = trace.get_current_span()
        for _ in items():
            assert trace.get_current_span() is before
    assert inside == ["execute_tool inner", "execute_tool inner"]
    inner, outer = recorded.steps
    assert inner.parent_id == outer.span_id


def test_generators_that_take_turns_keep_their_own_spans():
    @step
    def names(n):
        for _ in range(3):
            with step(f"child of {n}"):
                pass
            yield n

    with capture_episodes() as recorded, episode("t"):
        for _ in zip(names("a"), names("b"), strict=True):
            pass
    parents = {s.span_id: s.attributes["episode.step.action"] for s in recorded.steps if "names" in s.name}
    children = [(s.attributes["gen_ai.tool.name"], parents[s.parent_id]) for s in recorded.steps if "child" in s.name]
    assert sorted(set(children)) == [("child of a", '{"n": "a"}'), ("child of b", '{"n": "b"}')]


def test_a_generator_dropped_and_finalised_in_another_thread_ends_its_span_and_logs_nothing(caplog):
    with capture_episodes() as recorded, episode("t"):
        holder = [echo(9)]
        next(holder[0])
        thread = threading.Thread(target=holder.clear)
        thread.start()
        thread.join()
        gc.collect()
        assert only(recorded).attributes["episode.step.success"] is True
    assert caplog.records == []


def test_yield_from_a_step_returns_its_value():
    def outer():
        return (yield from echo(1))

    with capture_episodes() as recorded, episode("t"):
        generator = outer()
        next(generator)
        with pytest.raises(StopIteration) as stop:
            generator.send("x")
    assert stop.value.value == ["x"]
    assert only(recorded).attributes["episode.step.observation"] == "1 items"


async def test_an_async_generator_is_one_step():
    with capture_episodes() as recorded, episode("t"):
        before = trace.get_current_span()
        items = []
        async for item in count(3):
            assert trace.get_current_span() is before
            items.append(item)
    assert items == [0, 1, 2]
    assert only(recorded).attributes["episode.step.observation"] == "3 items"


async def test_async_send_throw_and_close_work():
    @step
    async def echo_async():
        value = None
        while True:
            try:
                value = yield value
            except KeyError:
                value = "caught"

    with capture_episodes() as recorded, episode("t"):
        generator = echo_async()
        await generator.__anext__()
        assert await generator.asend("a") == "a"
        assert await generator.athrow(KeyError()) == "caught"
        await generator.aclose()
        with pytest.raises(StopAsyncIteration):
            await generator.__anext__()
    assert only(recorded).status == "UNSET"


def test_an_async_generator_left_to_the_event_loop_ends_its_span_and_logs_nothing(caplog):
    async def main():
        async for _ in count(9):
            break
        await asyncio.sleep(0)

    with capture_episodes() as recorded, episode("t"):
        asyncio.run(main())
        assert only(recorded).attributes["episode.step.success"] is True
    assert caplog.records == []


def test_an_async_generator_dropped_without_an_event_loop_ends_its_span():
    with capture_episodes() as recorded, episode("t"):
        generator = count(9)
        first = generator.__anext__()
        with pytest.raises(StopIteration):
            while True:
                first.send(None)
        del first, generator
        gc.collect()
        assert only(recorded).attributes["episode.step.success"] is True


async def test_an_error_in_an_async_generator_fails_the_step():
    @step
    async def broken():
        yield 1
        raise OSError("gone")

    with capture_episodes() as recorded, episode("t") as ep:
        with pytest.raises(OSError, match="gone"):
            async for _ in broken():
                pass
        ep.succeed()
    assert only(recorded).message == "OSError: gone"


def test_generators_without_a_provider_just_run():
    assert list(echo(2)) == [0, 1]

    async def collect():
        return [item async for item in count(2)]

    assert asyncio.run(collect()) == [0, 1]


@step
def note(text):
    return text


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_is_current_at_a_pause_is_current_after_it(asynchronous):
    @step
    def reader():
        with step("read") as reading:
            note("first")
            yield current_step() is reading
            note("second")
            yield current_step() is reading
            current_step().fail("the file ends early")
            current_step().tokens(input=4)

    @step
    async def async_reader():
        with step("read") as reading:
            note("first")
            yield current_step() is reading
            await asyncio.sleep(0)
            note("second")
            yield current_step() is reading
            current_step().fail("the file ends early")
            current_step().tokens(input=4)

    async def collect():
        return [item async for item in async_reader()]

    with capture_episodes() as recorded, episode("t"):
        before = trace.get_current_span()
        assert (asyncio.run(collect()) if asynchronous else list(reader())) == [True, True]
        assert trace.get_current_span() is before
    first, second, read, whole = recorded.steps
    assert first.parent_id == second.parent_id == read.span_id
    assert (read.status, read.attributes["episode.step.tokens.input"]) == ("ERROR", 4)
    assert (whole.status, "episode.step.tokens.input" in whole.attributes) == ("UNSET", False)


def test_a_sub_agent_in_a_generator_keeps_its_steps_and_the_caller_keeps_its_own():
    @step
    def delegate():
        with episode("look it up"):
            note("inside, early")
            yield
            note("inside, late")

    with capture_episodes() as recorded, episode("main"):
        for _ in delegate():
            note("outside")
    task_of = {e.trace_id: e.attributes["episode.task"] for e in recorded.episodes}
    where = {s.attributes["episode.step.observation"]: task_of[s.trace_id] for s in recorded.steps if "note" in s.name}
    assert where == {"inside, early": "look it up", "outside": "main", "inside, late": "look it up"}


def both_ways(decorator):
    """Return what a generator and its caller see of each other's baggage, with and without the decorator."""

    @decorator
    def remembers():
        seen.append(baggage.get_baggage("asked"))
        token = context.attach(baggage.set_baggage("tenant", "blue"))
        yield
        seen.append((baggage.get_baggage("asked"), baggage.get_baggage("tenant")))
        yield
        context.detach(token)
        seen.append((baggage.get_baggage("asked"), baggage.get_baggage("tenant")))

    seen = []
    generator = remembers()
    for turn in range(3):
        token = context.attach(baggage.set_baggage("asked", turn))
        next(generator, None)
        seen.append(baggage.get_baggage("tenant"))
        context.detach(token)
        seen.append(baggage.get_baggage("tenant"))
    return seen


def test_the_programs_own_context_goes_in_and_out_as_without_the_decorator():
    with capture_episodes(), episode("t"):
        assert both_ways(step) == both_ways(lambda function: function)
        assert both_ways(episode) == both_ways(lambda function: function)


def test_what_a_step_attaches_and_leaves_attached_stays():
    def configure():
        context.attach(baggage.set_baggage("tenant", "blue"))

    before = context.get_current()
    try:
        with capture_episodes(), episode("t"), step("around"):
            step(configure)()
            assert baggage.get_baggage("tenant") == "blue"
            assert current_step().recording
    finally:
        context.attach(before)


def pieces_in_other_contexts(generator):
    """Run a generator as a web server does: each piece in a thread, in a copy of the context of here."""
    with ThreadPoolExecutor(1) as pool:
        while pool.submit(contextvars.copy_context().run, next, generator, "end").result() != "end":
            pass


def test_an_episode_in_a_generator_keeps_its_steps_wherever_its_pieces_are_run():
    def stream():
        with episode("stream"):
            for n in range(2):
                note(n)
                with step("chunk"):
                    yield
                    note("sent")
                    assert current_episode().task == "stream"

    with capture_episodes() as recorded:
        pieces_in_other_contexts(stream())
        assert current_episode().id == ""
    (root,) = recorded.episodes
    assert {s.trace_id for s in recorded.steps} == {root.trace_id}
    chunks = [s.span_id for s in recorded.steps if s.name == "execute_tool chunk"]
    assert [s.parent_id for s in recorded.steps if "note" in s.name] == [
        root.span_id,
        chunks[0],
        root.span_id,
        chunks[1],
    ]
    assert "episode.context_lost" not in root.attributes


def test_an_episode_whose_context_reached_nothing_in_its_block_is_marked():
    def dependency():
        with episode("request"):
            yield

    with capture_episodes() as recorded:
        generator = dependency()
        pieces_in_other_contexts(generator)
    assert [e.attributes.get("episode.context_lost") for e in recorded.episodes] == [True]


def test_with_context_binds_coroutine_functions_and_generator_functions():
    def plain():
        return current_episode().task

    async def coroutine():
        await asyncio.sleep(0)
        return current_episode().task

    def generator():
        yield current_episode().task
        with step("inside") as inside:
            yield current_step() is inside
            yield current_step() is inside

    async def async_generator():
        for item in generator():
            yield item

    async def items(bound):
        return [(item, current_episode().task) async for item in bound()]

    with capture_episodes():
        with episode("bound"):
            bound = [with_context(kind) for kind in (plain, coroutine, generator, async_generator)]
        assert inspect.iscoroutinefunction(bound[1])
        assert inspect.isgeneratorfunction(bound[2])
        assert inspect.isasyncgenfunction(bound[3])
        assert bound[0]() == asyncio.run(bound[1]()) == "bound"
        inside_and_outside = [("bound", ""), (True, ""), (True, "")]
        assert [(item, current_episode().task) for item in bound[2]()] == inside_and_outside
        assert asyncio.run(items(bound[3])) == inside_and_outside
        assert current_episode().task == ""
