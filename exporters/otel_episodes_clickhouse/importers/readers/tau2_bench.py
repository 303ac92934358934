"""tau2-bench's results: simulations of an agent and a user, each a run; the user has tools too."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from otel_episodes import semconv
from otel_episodes_clickhouse.importers import outcomes, values
from otel_episodes_clickhouse.importers.builder import RunBuilder
from otel_episodes_clickhouse.importers.documents import decoded
from otel_episodes_clickhouse.importers.readers import chat
from otel_episodes_clickhouse.importers.reading import Place, Reader, Refused
from otel_episodes_clickhouse.importers.run import RecordError, Run
from otel_episodes_clickhouse.importers.transcripts import Said

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME: Final = "tau2-bench"


def is_record(record: Any) -> bool:
    """Return True for results with simulations, or one simulation."""
    if not isinstance(record, dict):
        return False
    if isinstance(record.get("simulations"), list):
        return isinstance(record.get("tasks"), list) or "info" in record
    return _is_simulation(record)


def _is_simulation(record: dict[str, Any]) -> bool:
    return "task_id" in record and "termination_reason" in record and ("messages" in record or "ticks" in record)


def read(record: Any, place: Place) -> Iterator[Run | Refused]:
    """Read all simulations of a file."""
    if _is_simulation(record):
        results = place.source.beside("..", "results.json") or place.source.beside("results.json")
        around: Any = {}
        if results is not None:
            with suppress(OSError, ValueError):
                around = decoded(results.read_bytes())
        yield _run(record, values.fields(around), place)
        return
    for simulation in values.objects(record["simulations"]):
        try:
            yield _run(simulation, record, place)
        except RecordError as error:
            yield Refused(0, f"simulation {simulation.get('id')}: {error}")


def _run(simulation: dict[str, Any], results: dict[str, Any], place: Place) -> Run:
    if not isinstance(simulation.get("messages"), list):
        raise RecordError("a simulation without messages (of a voice run)")
    info = values.fields(results.get("info"))
    start = values.nanoseconds(simulation.get("start_time"))
    builder, said = RunBuilder(start or place.fallback_time), Said()
    chat.feed(list(_messages(simulation["messages"])), builder, said)
    options = place.options
    ending = outcomes.ending_of(simulation, options)
    domain = values.string(values.lookup(info, "environment_info.domain_name"))
    known = {"domain": domain} if domain else {}
    if options.id:
        known["id"] = str(values.required(simulation, options.id, "--id"))
    attributes = {
        semconv.SOURCE_ID: values.string(simulation.get("id")),
        "task_id": str(simulation["task_id"]),
        "trial": simulation.get("trial"),
    }
    return Run(
        task=_task(simulation, results) or said.task,
        start_time=start or builder.start_time,
        end_time=values.nanoseconds(simulation.get("end_time")) or builder.end_time,
        id=values.string(simulation.get("id")),
        format=_NAME,
        agent=options.agent or values.string(values.lookup(info, "agent_info.implementation")),
        model=values.string(values.lookup(info, "agent_info.llm")) or builder.first_model(),
        cost=values.amount(simulation.get("agent_cost")),
        usage=builder.usage,
        options=known,
        attributes={key: value for key, value in attributes.items() if isinstance(value, (str, int)) and value != ""},
        steps=builder.steps(),
        model_calls=builder.model_calls(),
        times_made_up=builder.made_up and start is None,
        **ending.fields(),
    )


def _messages(messages: list[Any]) -> Iterator[dict[str, Any]]:
    for message in values.objects(messages):
        if isinstance(message.get("tool_messages"), list):
            yield from values.objects(message["tool_messages"])
        else:
            yield message


def _task(simulation: dict[str, Any], results: dict[str, Any]) -> str:
    tasks = values.objects(results.get("tasks"))
    task = next((task for task in tasks if str(task.get("id")) == str(simulation["task_id"])), {})
    told = values.lookup(task, "user_scenario.instructions")
    if isinstance(told, dict):
        parts = (told.get(name) for name in ("reason_for_call", "task_instructions"))
        return next(filter(None, map(values.text_of, parts)), "")
    return values.text_of(told)


READER: Final = Reader(_NAME, is_record=is_record, record=read)
