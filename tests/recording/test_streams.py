"""What a function returns may be yet to run: a stream, a task. The step lasts as long, and fails and counts with it."""

import asyncio
import functools
import gc
import inspect
from concurrent.futures import ThreadPoolExecutor
from types import AsyncGeneratorType, GeneratorType

import pytest

from otel_episodes import current_step, episode, step
from otel_episodes.testing import capture_episodes


def pieces(*items, error=None):
    yield from items
    if error is not None:
        raise error


async def async_pieces(*items, error=None):
    for item in items:
        await asyncio.sleep(0)
        yield item
    if error is not None:
        raise error


class Stream:
    """A stream as clients of models have it: an iterator over a generator of its own."""

    def __init__(self, *items, error=None):
        self.url = "https://models.example"
        self._iterator = self._read(items, error)

    def _read(self, items, error):
        yield from pieces(*items, error=error)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._iterator)


class AsyncStream(Stream):
    def __init__(self, *items, error=None):
        super().__init__()
        self._iterator = async_pieces(*items, error=error)

    def __aiter__(self):
        return self

    async def __anext__(self):
        return await self._iterator.__anext__()


CHUNKS = (
    {"id": "chat-1", "delta": "Hel"},
    {"id": "chat-1", "delta": "lo", "usage": {"prompt_tokens": 11, "completion_tokens": 7}},
)


def read(make, **options):
    """Read what a decorated function returns to its end; return the error, the span, and what it returned."""

    @step
    def returned():
        return make(*CHUNKS, **options)

    @step
    async def async_returned():
        return make(*CHUNKS, **options)

    async def read_async():
        stream = await async_returned()
        async for _ in stream:
            assert current_step().recording is False
        return stream

    error = stream = None
    with capture_episodes() as recorded, episode("t"):
        try:
            if make in (async_pieces, AsyncStream):
                stream = asyncio.run(read_async())
            else:
                stream = returned()
                assert recorded.steps == []
                assert list(stream) == list(CHUNKS)
        except OSError as raised:
            error = raised
    (span,) = recorded.steps
    return error, span, stream


@pytest.mark.parametrize("make", [pieces, async_pieces, Stream, AsyncStream])
def test_a_step_ends_with_the_stream_it_returns_and_has_its_usage(make):
    error, span, stream = read(make)
    assert error is None
    assert (span.status, span.attributes["episode.step.success"]) == ("UNSET", True)
    assert (span.attributes["episode.step.tokens.input"], span.attributes["episode.step.tokens.output"]) == (11, 7)
    kind = {pieces: GeneratorType, async_pieces: AsyncGeneratorType}.get(make, make)
    assert type(stream) is kind
    if make in (pieces, async_pieces):
        assert stream.__name__ == make.__name__


@pytest.mark.parametrize("make", [pieces, async_pieces, Stream, AsyncStream])
def test_an_error_while_a_stream_is_read_fails_the_step(make):
    error, span, _ = read(make, error=OSError("the connection broke"))
    assert str(error) == "the connection broke"
    assert (span.status, span.message) == ("ERROR", "OSError: the connection broke")


def test_a_stream_that_is_not_read_to_its_end_or_not_at_all_ends_its_step():
    with capture_episodes() as recorded, episode("t"):

        @step
        def returned():
            return pieces(1, 2, 3)

        next(returned())
        returned()
        gc.collect()
        assert [s.attributes["episode.step.success"] for s in recorded.steps] == [True, True]


def test_what_somebody_else_holds_too_is_returned_as_it_is():
    @step
    def passed_on(value):
        return value

    async def coroutine():
        pass

    waiting = coroutine()
    held = [pieces(1), async_pieces(1), Stream(1), waiting]
    inside = held[2]._iterator
    with capture_episodes() as recorded, episode("t"):
        assert all(passed_on(value) is value for value in held)
        assert len(recorded.steps) == len(held)
    assert (held[2]._iterator is inside, list(held[0])) == (True, [1])
    waiting.close()


def test_a_stream_keeps_taking_what_is_sent_and_thrown():
    def talk():
        heard = yield "who is there?"
        try:
            yield heard
        except KeyError:
            yield "caught"
        return "bye"

    with capture_episodes() as recorded, episode("t"):
        talking = step(functools.partial(talk))()
        assert inspect.getgeneratorstate(talking) == "GEN_CREATED"
        assert next(talking) == "who is there?"
        assert talking.send("me") == "me"
        assert talking.throw(KeyError) == "caught"
        with pytest.raises(StopIteration) as stop:
            next(talking)
        assert stop.value.value == "bye"
    assert recorded.steps[0].status == "UNSET"


def test_steps_that_a_stream_makes_are_below_the_step_that_returned_it():
    def stream():
        for n in range(2):
            with step("chunk"):
                yield n

    with capture_episodes() as recorded, episode("t"):
        for _ in step(stream.__call__)():
            with step("read"):
                pass
    *_, returned = recorded.steps
    parents = {s.attributes["gen_ai.tool.name"]: s.parent_id for s in recorded.steps}
    assert parents["chunk"] == returned.span_id != parents["read"]


async def work(error=None):
    await asyncio.sleep(0)
    if error is not None:
        raise error
    return {"usage": {"input_tokens": 3, "output_tokens": 1}}


async def test_a_step_ends_with_the_task_it_returns():
    @step
    def started(error=None):
        return asyncio.ensure_future(work(error))

    with capture_episodes() as recorded, episode("t"):
        task = started()
        assert isinstance(task, asyncio.Task)
        assert recorded.steps == []
        await task
        with pytest.raises(OSError, match="late"):
            await started(OSError("late"))
        cancelled = started()
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        await asyncio.sleep(0)
    well, late, ended = recorded.steps
    assert (well.status, well.attributes["episode.step.tokens.input"]) == ("UNSET", 3)
    assert (late.message, ended.attributes["error.type"]) == ("OSError: late", "asyncio.exceptions.CancelledError")


def test_the_loop_still_reports_a_task_whose_error_nobody_asked_for():
    reported = []

    @step
    def started():
        return asyncio.ensure_future(work(OSError("never seen")))

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _, told: reported.append(told["message"]))
        started()
        for _ in range(4):
            await asyncio.sleep(0)
        gc.collect()

    with capture_episodes() as recorded, episode("t"):
        asyncio.run(main())
    assert recorded.steps[0].status == "ERROR"
    assert reported == ["Task exception was never retrieved"]


def test_a_step_ends_with_the_future_of_an_executor():
    with capture_episodes() as recorded, episode("t"), ThreadPoolExecutor(1) as pool:
        future = step(pool.submit)(int, "x")
        with pytest.raises(ValueError, match="invalid literal"):
            future.result()
    assert recorded.steps[0].attributes["error.type"] == "ValueError"


def test_an_episode_ends_with_the_stream_it_returns():
    @episode("chat")
    def chat():
        return pieces(1, 2, error=OSError("the connection broke"))

    with capture_episodes() as recorded:
        stream = chat()
        assert recorded.episodes == []
        with pytest.raises(OSError, match="broke"):
            list(stream)
    assert recorded.episodes[0].attributes["episode.outcome"] == "failure"


@pytest.mark.parametrize(
    ("items", "tokens"),
    [
        pytest.param(
            [
                {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 25, "output_tokens": 1}}},
                {"type": "message_delta", "usage": {"output_tokens": 15}},
            ],
            (25, 15),
            id="told in two events",
        ),
        pytest.param(
            [
                {"responseId": "g", "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": n}}
                for n in (1, 2, 5)
            ],
            (9, 5),
            id="told again as it grows",
        ),
        pytest.param(
            [{"id": f"r-{n}", "usage": {"input_tokens": 10, "output_tokens": n}} for n in (1, 2)],
            (20, 3),
            id="of two responses",
        ),
        pytest.param(["Hel", "lo"], None, id="of text alone"),
    ],
)
def test_usage_is_looked_for_in_what_is_yielded(items, tokens):
    @step
    def generator():
        yield from items

    with capture_episodes() as recorded, episode("t"):
        list(generator())
    found = recorded.steps[0].attributes
    assert (found.get("episode.step.tokens.input"), found.get("episode.step.tokens.output")) == (tokens or (None, None))
    assert recorded.episodes[0].attributes.get("episode.tokens.input") == (tokens[0] if tokens else None)


def test_usage_of_a_stream_that_is_handed_up_counts_once():
    @step
    def inner():
        yield from CHUNKS

    @step
    def outer():
        return inner()

    with capture_episodes() as recorded, episode("t"):
        list(outer())
    assert recorded.episodes[0].attributes["episode.tokens.input"] == 11


def test_an_async_stream_that_is_left_when_the_loop_ends_has_not_failed():
    @step
    async def read():
        for number in range(9):
            yield number

    async def first():
        async for _ in read():
            break

    with capture_episodes() as recorded, episode("t"):
        asyncio.run(first())
        gc.collect()
    assert [span.attributes["episode.step.success"] for span in recorded.steps] == [True]
