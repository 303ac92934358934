"""OpenAI's Responses API: lists of items, and response objects chained by ``previous_response_id``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.importers import items, values
from otel_episodes_clickhouse.importers.builder import RunBuilder
from otel_episodes_clickhouse.importers.reading import Refused
from otel_episodes_clickhouse.importers.run import ModelCall, RecordError, Run
from otel_episodes_clickhouse.importers.transcripts import Dialect, Said, compact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_episodes_clickhouse.importers.documents import Record
    from otel_episodes_clickhouse.importers.reading import Place

_NAME: Final = "openai-responses"


def feed(messages: list[Any], builder: RunBuilder, said: Said) -> None:
    """Read items in their order."""
    for item in messages:
        time = values.time_of(item)
        builder.tell_time(time)
        items.read(item, builder, said, time)


def is_response(record: Any) -> bool:
    """Return True for what the API answered: output items, and what they used."""
    return (
        isinstance(record, dict)
        and isinstance(record.get("output"), list)
        and isinstance(record.get("id"), str)
        and (record.get("object") == "response" or "previous_response_id" in record)
    )


def session(records: Iterator[Record], place: Place) -> Iterator[Run | Refused]:
    """Read the responses of a file: those that follow each other are one run."""
    chains: dict[str, list[dict[str, Any]]] = {}
    chain_of: dict[str, str] = {}
    for record in records:
        response = record.value
        if not is_response(response):
            yield Refused(record.line, "not a response, in a file of responses")
            continue
        first = chain_of.get(values.string(response.get("previous_response_id")), response["id"])
        chain_of[response["id"]] = first
        chains.setdefault(first, []).append(response)
    for responses in chains.values():
        yield _run(responses, place)


def record(value: Any, place: Place) -> Iterable[Run]:
    """Read one response alone, or a list of items."""
    return [_run([value], place)] if is_response(value) else _DIALECT_READER.record(value, place)  # type: ignore[return-value]


def _run(responses: list[dict[str, Any]], place: Place) -> Run:
    first, last = responses[0], responses[-1]
    said, builder = Said(), RunBuilder(values.time_of(first) or place.fallback_time)
    for response in responses:
        _response(response, builder, said)
    steps, model = builder.steps(), values.string(first.get("model"))
    if not (said.task or steps or said.turns):
        raise RecordError("neither a task nor a call nor an answer of an assistant in it")
    failed = last.get("status") == "failed" or bool(last.get("error"))
    reason = values.string(values.lookup(last, "incomplete_details.reason"))
    error = last.get("error") or {}
    conversation = last.get("conversation")
    conversation = conversation.get("id") if isinstance(conversation, dict) else conversation
    return Run(
        task=said.task,
        start_time=builder.start_time,
        end_time=builder.end_time,
        id=first["id"],
        format=_NAME,
        agent=place.options.agent,
        model=model,
        outcome="failure" if failed else "",
        outcome_source="exception" if failed else "",
        verdict=": ".join(str(error[name]) for name in ("code", "message") if error.get(name)) if failed else "",
        ended_how=": ".join(filter(None, (values.string(last.get("status")), reason))),
        usage=builder.usage,
        options={"conversation_id": conversation} if isinstance(conversation, str) else {},
        steps=steps,
        model_calls=builder.model_calls(),
        times_made_up=builder.made_up,
    )


def _response(response: dict[str, Any], builder: RunBuilder, said: Said) -> None:
    asked = values.nanoseconds(response.get("created_at"))
    builder.tell_time(asked)
    given = response.get("input")
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else values.objects(given):
        items.read(item, builder, said, asked)
    answered = values.nanoseconds(response.get("completed_at")) or asked
    start = builder.now
    builder.tell_time(answered)
    usage = response.get("usage")
    error = response.get("error")
    builder.model_call(
        ModelCall(
            start_time=start,
            end_time=builder.now,
            id=response["id"],
            model=values.string(response.get("model")),
            provider="openai",
            usage=values.usage_of(usage if isinstance(usage, dict) else {}),
            finish_reason=values.string(response.get("status")),
            error=compact(error) if error else "",
        )
    )
    for item in values.objects(response["output"]):
        items.read(item, builder, said, answered)


DIALECT: Final = Dialect(_NAME, items.is_item, feed)
_DIALECT_READER: Final = DIALECT.reader()
READER: Final = DIALECT.reader(
    is_record=lambda value: is_response(value) or DIALECT.is_record(value),
    record=record,
    is_session=is_response,
    session=session,
    every=True,
)
