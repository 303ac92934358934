"""Inspect AI's logs: ``.eval`` archives, or the same as one JSON document; each sample is a run.

Steps are the tool events, model calls the model events; a sample without events is read by its messages. An agent that
a tool started, or that runs within another agent, is an episode of its own.
"""

from __future__ import annotations

import zipfile
import zlib
from typing import TYPE_CHECKING, Any, Final

from otel_episodes import semconv
from otel_episodes_clickhouse.importers import outcomes, values
from otel_episodes_clickhouse.importers.builder import RunBuilder
from otel_episodes_clickhouse.importers.documents import decoded
from otel_episodes_clickhouse.importers.failures import says_failure
from otel_episodes_clickhouse.importers.outcomes import Ending
from otel_episodes_clickhouse.importers.readers import chat
from otel_episodes_clickhouse.importers.reading import Place, Reader, Refused
from otel_episodes_clickhouse.importers.run import NO_USAGE, ModelCall, RecordError, Run, Usage
from otel_episodes_clickhouse.importers.transcripts import Said, compact

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME: Final = "inspect-ai"
_ATTACHMENT: Final = "attachment://"
_ZSTD: Final = 93
_LOCAL_HEADER: Final = 30


# --- where samples are -----------------------------------------------------------------------------------------------


def is_record(record: Any) -> bool:
    """Return True for a log: what was evaluated, and its samples."""
    return (
        isinstance(record, dict)
        and isinstance(record.get("eval"), dict)
        and "task" in record["eval"]
        and "status" in record
    )


def read(record: Any, place: Place) -> Iterator[Run | Refused]:
    """Read a log in one document."""
    samples = record.get("samples")
    if not isinstance(samples, list) or not samples:
        raise RecordError("a log of Inspect without samples: it was written as a header alone")
    for sample in samples:
        yield from _sample(sample, record, place)


def is_archive(archive: zipfile.ZipFile) -> bool:
    """Return True for an archive with a log's header, or with the journal of one that was cut short."""
    names = set(archive.namelist())
    return "header.json" in names or "_journal/start.json" in names


def archive(opened: zipfile.ZipFile, place: Place) -> Iterator[Run | Refused]:
    """Read a log in an archive, one sample at a time."""
    names = opened.namelist()
    header = decoded(_member(opened, "header.json" if "header.json" in names else "_journal/start.json"))
    for name in dict.fromkeys(names):
        if name.startswith("samples/") and name.endswith(".json"):
            try:
                sample = decoded(_member(opened, name))
            except (ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
                yield Refused(0, f"{name}: {error}")
                continue
            yield from _sample(sample, header, place)


def _member(opened: zipfile.ZipFile, name: str) -> bytes:
    info = opened.getinfo(name)
    if info.compress_type != _ZSTD:
        return opened.read(info)
    # zipfile knows this method from Python 3.14 on: what is compressed lies behind the member's local header.
    file: Any = opened.fp
    file.seek(info.header_offset)
    head = file.read(_LOCAL_HEADER)
    file.seek(int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little"), 1)
    packed = file.read(info.compress_size)
    try:
        from backports import zstd  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  # seldom needed
    except ImportError:
        import zstandard  # noqa: PLC0415  # likewise

        return zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    return bytes(zstd.decompress(packed))


def _sample(sample: Any, header: dict[str, Any], place: Place) -> Iterator[Run | Refused]:
    if not isinstance(sample, dict):
        yield Refused(0, "a sample that is not an object")
        return
    try:
        yield _Sample(sample, header, place).run()
    except (RecordError, TypeError, ValueError, LookupError, AttributeError) as error:
        yield Refused(0, f"sample {sample.get('id')}: {error}")


# --- a sample ------------------------------------------------------------------------------------------------------


class _Sample:
    """Goes through the events of one sample."""

    def __init__(self, sample: dict[str, Any], header: dict[str, Any], place: Place) -> None:
        self._sample = sample
        self._eval = values.fields(header.get("eval"))
        self._header = header
        self._place = place
        self._texts = values.fields(sample.get("attachments"))
        identity = (self._eval.get("run_id"), self._eval.get("eval_id"), sample.get("id"), sample.get("epoch"))
        self._id = values.string(sample.get("uuid")) or "/".join(map(str, identity))
        self._start = values.nanoseconds(sample.get("started_at"))
        self._parents: dict[str, str] = {}
        self._agents: dict[str, dict[str, Any]] = {}
        self._inner: set[str] = set()
        self._builders: dict[str, RunBuilder] = {}
        self._started_by: dict[str, str] = {}
        self._asked: dict[str, str] = {}

    def run(self) -> Run:
        sample = self._sample
        events = list(_flat(sample.get("events")))
        main = self._builder("")
        said = Said()
        self._find_agents(events)
        for event in events:
            self._event(event)
        if main.is_empty() and not self._inner:
            chat.feed(values.objects(sample.get("messages")), main, said)
        agents = {span: self._agent_run(span) for span in self._inner if not self._builders[span].is_empty()}
        for span, run in agents.items():
            owner = self._builders[self._agent_around(self._parents.get(span, ""))]
            call = self._started_by.get(span, "")
            if call and owner.change(call, sub_agents=(run,)):
                agents[span] = Run("", 0)
        steps, ending = main.steps(), self._ending()
        end = values.nanoseconds(sample.get("completed_at"))
        solvers = [step.get("solver") for step in values.objects(values.lookup(self._header, "plan.steps"))]
        return Run(
            task=self._task(),
            start_time=self._start or main.start_time,
            end_time=end or main.end_time,
            id=self._id,
            format=_NAME,
            agent=self._place.options.agent or str(self._eval.get("solver") or (solvers or [""])[-1] or ""),
            model=values.string(self._eval.get("model")),
            usage=main.usage or self._told_usage(),
            options=self._options(),
            attributes=self._attributes(),
            steps=steps,
            model_calls=main.model_calls(),
            sub_agents=tuple(run for run in agents.values() if run.id),
            times_made_up=main.made_up and self._start is None,
            **ending.fields(),
        )

    def _options(self) -> dict[str, Any]:
        found = {"task_type": values.string(self._eval.get("task"))}
        if self._place.options.id:
            found["id"] = str(values.required(self._sample, self._place.options.id, "--id"))
        return {key: value for key, value in found.items() if value}

    def _attributes(self) -> dict[str, Any]:
        found = {
            semconv.SOURCE_ID: f"{self._sample.get('id')}/{self._sample.get('epoch', 1)}",
            "inspect.run_id": self._eval.get("run_id"),
            "inspect.target": self._sample.get("target"),
        }
        for name, score in _scores(self._sample).items():
            found[f"inspect.score.{name}"] = values.fields(score).get("value")
        return {key: value for key, value in found.items() if isinstance(value, (str, int, float, bool))}

    def _task(self) -> str:
        if self._place.options.task:
            return values.text_of(values.required(self._sample, self._place.options.task, "--task"))
        given = self._sample.get("input")
        if isinstance(given, list):
            said = (message.get("content") for message in values.objects(given) if message.get("role") == "user")
            given = next(said, "")
        return self._resolved(values.text_of(given))

    def _resolved(self, text: str) -> str:
        """Return a text that the log keeps in one place for all that use it."""
        return values.string(self._texts.get(text.removeprefix(_ATTACHMENT))) if text.startswith(_ATTACHMENT) else text

    def _told_usage(self) -> Usage:
        return sum((_usage(counts) for counts in values.fields(self._sample.get("model_usage")).values()), NO_USAGE)

    def _ending(self) -> Ending:
        sample, options = self._sample, self._place.options
        scores = _scores(sample)
        limit = values.fields(sample.get("limit")).get("type")
        # Of a log that broke off, the samples with a score had been finished.
        status = "" if scores else values.string(self._header.get("status")).removeprefix("success")
        how = f"limit: {limit}" if limit else status
        reward = None
        if options.reward:
            # A scorer's name, or a path in the sample.
            reward = outcomes.reward_of({**sample, **scores}, options)
        elif len(scores) == 1:
            reward = outcomes.as_score(values.fields(next(iter(scores.values()))).get("value"))
        if reward is not None:
            return outcomes.scored(reward, options.success_at, how=how)
        error = sample.get("error")
        if error:
            message = values.string(values.fields(error).get("message")) or compact(error)
            return Ending("failure", "exception", message, None, "error")
        return Ending("failure", "told", how, None, how) if limit else Ending("", "", "", None, how)

    # --- agents ----------------------------------------------------------------------------------------------------

    def _builder(self, agent: str) -> RunBuilder:
        if agent not in self._builders:
            written = values.nanoseconds(self._eval.get("created"))
            self._builders[agent] = RunBuilder(self._start or written or self._place.fallback_time)
        return self._builders[agent]

    def _find_agents(self, events: list[dict[str, Any]]) -> None:
        """Find the spans of agents that a tool started, or that are within another agent's."""
        kinds: dict[str, str] = {}
        for event in events:
            if event.get("event") == "span_begin" and isinstance(event.get("id"), str):
                self._parents[event["id"]] = values.string(event.get("parent_id"))
                kinds[event["id"]] = values.string(event.get("type"))
                if event.get("type") == "agent":
                    self._agents[event["id"]] = event
            elif event.get("event") == "tool" and isinstance(event.get("agent_span_id"), str):
                self._started_by[event["agent_span_id"]] = values.string(event.get("id"))
                asked = values.fields(event.get("arguments")).get("input")
                self._asked[event["agent_span_id"]] = self._resolved(values.text_of(asked))
        for span in self._agents:
            around, seen = self._parents.get(span, ""), {span}
            while around and around not in seen:
                seen.add(around)
                if kinds.get(around) in ("agent", "tool"):
                    self._inner.add(span)
                    self._builder(span)
                    break
                around = self._parents.get(around, "")

    def _agent_around(self, span: str) -> str:
        seen = set()
        while span and span not in seen:
            if span in self._inner:
                return span
            seen.add(span)
            span = self._parents.get(span, "")
        return ""

    def _agent_run(self, span: str) -> Run:
        builder, about = self._builders[span], self._agents[span]
        return Run(
            task=self._asked.get(span) or values.string(about.get("name")),
            start_time=builder.start_time,
            end_time=builder.end_time,
            id=f"{self._id}/{span}",
            format=_NAME,
            agent=values.string(about.get("name")),
            model=builder.first_model(),
            usage=builder.usage,
            steps=builder.steps(),
            model_calls=builder.model_calls(),
        )

    # --- events ----------------------------------------------------------------------------------------------------

    def _event(self, event: dict[str, Any]) -> None:
        kind = event.get("event")
        if kind not in ("tool", "model") or event.get("pending"):
            return
        builder = self._builder(self._agent_around(values.string(event.get("span_id"))))
        start = values.nanoseconds(event.get("timestamp"))
        builder.tell_time(start)
        end = values.nanoseconds(event.get("completed"))
        if kind == "model":
            self._model(event, builder, end)
        else:
            self._tool(event, builder, start, end)
        if end is not None:
            builder.tell_time(end)

    def _model(self, event: dict[str, Any], builder: RunBuilder, end: int | None) -> None:
        output = values.fields(event.get("output"))
        choice = next(iter(values.objects(output.get("choices"))), {})
        error = event.get("error") or output.get("error")
        builder.model_call(
            ModelCall(
                start_time=builder.now,
                end_time=end or builder.now,
                model=values.string(event.get("model")) or values.string(output.get("model")),
                usage=_usage(output.get("usage")),
                finish_reason=values.string(choice.get("stop_reason")),
                error=compact(error) if error else "",
            )
        )

    def _tool(self, event: dict[str, Any], builder: RunBuilder, start: int | None, end: int | None) -> None:
        arguments = event.get("arguments") or ""
        if isinstance(arguments, dict):
            arguments = {
                key: self._resolved(value) if isinstance(value, str) else value for key, value in arguments.items()
            }
        call_id = values.string(event.get("id"))
        builder.call(values.string(event.get("function")), arguments, call_id=call_id, time=start)
        error, result = event.get("error"), event.get("result")
        text = self._resolved(values.text_of(result) if isinstance(result, (str, list)) else compact(result or ""))
        kind = ""
        if error:
            kind = values.string(values.fields(error).get("type"))
            text = text or values.string(values.fields(error).get("message")) or compact(error)
        failed = bool(error) or event.get("failed") is True
        if not failed and event.get("failed") is None and "error" not in event:
            failed = says_failure(text)
        duration = round(event["working_time"] * 1e9) if isinstance(event.get("working_time"), (int, float)) else None
        builder.answer(text, call_id=call_id, success=not failed, time=end, told_duration=duration, error_type=kind)


def _flat(events: Any) -> Iterator[dict[str, Any]]:
    """Yield events in order; older logs nest those of a tool within it."""
    for event in values.objects(events):
        yield event
        yield from _flat(event.get("events"))


def _scores(sample: dict[str, Any]) -> dict[str, Any]:
    """Return the scores of a sample by their names; the oldest logs have one without a name."""
    return values.fields(sample.get("scores")) or ({"score": sample["score"]} if sample.get("score") else {})


def _usage(counts: Any) -> Usage:
    if not isinstance(counts, dict):
        return NO_USAGE
    usage = values.usage_of(counts)
    cached = usage.cache_read + usage.cache_write
    # Of some providers the cached tokens are beside the others: the total says so.
    if cached and counts.get("total_tokens") == usage.input + usage.output + cached:
        return Usage(usage.input + cached, usage.output, usage.cache_read, usage.cache_write, usage.reasoning)
    return usage


READER: Final = Reader(_NAME, is_record=is_record, record=read, is_archive=is_archive, archive=archive)
