"""A run to rows of ``otel_traces``, made as the recording API would have had them made, without going through it.

The same rendering, the same redaction, the same cuts, and the same text of every value: a run that was imported and
one that was recorded cannot be told apart (`tests/importers/test_import_rows.py` compares the two). Ids are drawn
from the ids that the source gives its sessions and calls, so what is imported again has the ids it had.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_episodes import __version__, semconv
from otel_episodes._for_store import (
    ACTION_LIMIT,
    CONTENT_LIMIT,
    NAME_LIMIT,
    OBSERVATION_LIMIT,
    SCOPE,
    capture,
    masked_attributes,
    masked_line,
    masked_text,
    message,
    step_span_name,
    tokens_of_episode,
    tokens_of_step,
    told_arguments,
)
from otel_episodes_clickhouse.delivery.recording import resource_of_ours
from otel_episodes_clickhouse.spool.row import Row
from otel_episodes_clickhouse.spool.values import attributes_as_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_episodes_clickhouse.importers.run import ModelCall, Run, Step

_OPTIONS: Final = {
    "task_type": semconv.TASK_TYPE, "domain": semconv.DOMAIN, "language": semconv.LANGUAGE,
    "framework": semconv.FRAMEWORK, "complexity": semconv.COMPLEXITY, "tags": semconv.TAGS,
}  # fmt: skip


class RunIds:
    """The ids of a run and of its spans, drawn from what its source calls it."""

    def __init__(self, format_: str, identifier: str) -> None:
        self._seed = hashlib.sha256(f"{format_}\0{identifier}".encode("utf-8", "surrogatepass")).digest()
        self.trace_id = self._seed[:16].hex()

    @cached_property
    def root(self) -> str:
        """The id of the episode's own span."""
        return self.span("root", "")

    def span(self, kind: str, identifier: str) -> str:
        """Return the id of the span with this id in the source."""
        name = f"{kind}\0{identifier}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(name, key=self._seed, digest_size=8).hexdigest()


class _Parent(NamedTuple):
    """The step or run that started a run."""

    episode_id: str
    trace_id: str = ""
    span_id: str = ""


class RowMaker:
    """Make rows of runs."""

    def __init__(self) -> None:
        resource = attributes_as_text(resource_of_ours().attributes)
        self._base = Row(
            0, "", "", service_name=resource["service.name"], resource_attributes=resource, scope_name=SCOPE,
            scope_version=__version__,
        )  # fmt: skip

    def rows(self, run: Run) -> Iterator[Row]:
        """Yield the rows of a run and of the runs it started; its own root is the last."""
        return self._run(with_ids(run), None)

    def _run(self, run: Run, parent: _Parent | None) -> Iterator[Row]:
        made = _RunRows(run, parent or _parent_of(run), self._base)
        for sub_agent in run.sub_agents:
            yield from self._run(sub_agent, _Parent(made.episode_id, made.ids.trace_id, made.ids.root))
        for step in run.steps:
            row = made.step(step)
            yield row
            for sub_agent in step.sub_agents:
                yield from self._run(sub_agent, _Parent(made.episode_id, row.trace_id, row.span_id))
        for call in run.model_calls:
            yield made.model_call(call)
        yield made.root()


def with_ids(run: Run) -> Run:
    """Return a run in which the runs it started have ids of their own, which are within its id."""
    if not run.sub_agents and not any(step.sub_agents for step in run.steps):
        return run
    count = 0

    def named(agent: Run) -> Run:
        nonlocal count
        count += 1
        within = f"{run.whole_id or run.id}/"
        identifier = agent.id if agent.id.startswith(within) else f"{within}{agent.id or count}"
        return with_ids(replace(agent, id=identifier, format=agent.format or run.format))

    steps = tuple(
        replace(step, sub_agents=tuple(map(named, step.sub_agents))) if step.sub_agents else step for step in run.steps
    )
    return replace(run, steps=steps, sub_agents=tuple(map(named, run.sub_agents)))


def _parent_of(run: Run) -> _Parent | None:
    """Return the parent of a run whose parent comes from elsewhere."""
    if not run.parent_id:
        return None
    ids = RunIds(run.format, run.parent_id)
    return _Parent(ids.trace_id, ids.trace_id, ids.span("step", run.parent_call_id) if run.parent_call_id else ids.root)


class _RunRows:
    """The rows of one run; remembers what a step has to know of those before it."""

    def __init__(self, run: Run, parent: _Parent | None, base: Row) -> None:
        self.ids = RunIds(run.format, run.id)
        self.episode_id = str(run.options.get("id") or self.ids.trace_id)[:NAME_LIMIT]
        self._run = run
        self._parent = parent
        self._base = base._replace(trace_id=self.ids.trace_id)
        self._capture = capture()
        self._agent = masked_line(run.agent, NAME_LIMIT)
        self._identity = {semconv.EPISODE_ID: self.episode_id}
        if self._agent:
            self._identity[semconv.GEN_AI_AGENT_NAME] = self._agent
        if run.options.get("conversation_id"):
            self._identity[semconv.GEN_AI_CONVERSATION_ID] = str(run.options["conversation_id"])
        self._index = 0
        self._seen: Counter[str] = Counter()
        self._failure: tuple[str, str, str | None] | None = None

    def _span_id(self, kind: str, identifier: str, place: int) -> str:
        key = identifier or f"#{place}"
        self._seen[kind + key] += 1
        again = self._seen[kind + key]
        return self.ids.span(kind, key if again == 1 else f"{key}#{again}")

    # --- a step ----------------------------------------------------------------------------------------------------

    def step(self, step: Step) -> Row:
        self._index += 1
        tool = masked_line(step.tool, NAME_LIMIT) if step.tool else ""
        arguments = told_arguments(step.arguments)
        attributes: dict[str, Any] = {
            semconv.SPAN: semconv.SPAN_STEP,
            semconv.STEP_KIND: step.kind,
            semconv.STEP_SUCCESS: "unknown" if step.success is None else step.success,
            **(masked_attributes(step.attributes) if step.attributes else {}),
            **self._identity,
            semconv.STEP_INDEX: self._index,
        }
        if step.kind == "tool_use":
            attributes[semconv.GEN_AI_OPERATION_NAME] = semconv.EXECUTE_TOOL
        if tool and step.kind in ("tool_use", "error_handling"):
            attributes[semconv.GEN_AI_TOOL_NAME] = tool
        if arguments is not None:
            attributes[semconv.GEN_AI_TOOL_CALL_ARGUMENTS] = arguments
        if step.unanswered:
            attributes[semconv.STEP_UNANSWERED] = True
        if step.usage:
            attributes |= tokens_of_step(step.usage.recorded())
        error = self._describe_failure(attributes, step) if step.success is False else None
        result = self._result(step)
        if result:
            attributes[semconv.GEN_AI_TOOL_CALL_RESULT] = result
        row = self._base._replace(
            timestamp=step.start_time,
            span_id=self._span_id("step", step.id, self._index),
            parent_span_id=self.ids.root,
            span_name=step_span_name(step.kind, tool),
            span_attributes=attributes_as_text(attributes),
            duration=step.duration,
            status_code="Unset" if error is None else "Error",
            status_message=error or "",
        )
        return self._linked(row, step, tool, arguments)

    def _result(self, step: Step) -> str:
        if self._capture == "none" or step.observation is None:
            return ""
        return masked_text(step.observation, CONTENT_LIMIT if self._capture == "full" else OBSERVATION_LIMIT)

    def _describe_failure(self, attributes: dict[str, Any], step: Step) -> str:
        attributes[semconv.ERROR_TYPE] = step.error_type or semconv.TOOL_ERROR
        if self._capture == "none" or not step.observation:
            return ""
        return masked_line(step.observation, ACTION_LIMIT)

    def _linked(self, row: Row, step: Step, tool: str, arguments: str | None) -> Row:
        links = []
        failure = self._failure
        if failure is not None and step.kind == "error_handling":
            links.append((self.ids.trace_id, failure[0], semconv.LINK_HANDLES))
        elif failure is not None and step.kind == "tool_use" and failure[1:] == (tool, arguments):
            links.append((self.ids.trace_id, failure[0], semconv.LINK_RETRIES))
        if step.success is False:
            self._failure = (row.span_id, tool, arguments)
        elif step.success and failure is not None and (step.kind == "error_handling" or tool == failure[1]):
            self._failure = None
        others = [RunIds(agent.format, agent.id) for agent in step.sub_agents]
        others += [RunIds(self._run.format, identifier) for identifier in step.sub_agent_ids]
        links += [(ids.trace_id, ids.root, semconv.LINK_DELEGATES) for ids in others]
        return _with_links(row, links) if links else row

    # --- a model call ----------------------------------------------------------------------------------------------

    def model_call(self, call: ModelCall) -> Row:
        usage, model = call.usage, masked_line(call.model, NAME_LIMIT)
        attributes: dict[str, Any] = {
            semconv.GEN_AI_OPERATION_NAME: semconv.CHAT,
            semconv.GEN_AI_PROVIDER_NAME: masked_line(call.provider, NAME_LIMIT),
            semconv.GEN_AI_REQUEST_MODEL: model,
            semconv.GEN_AI_RESPONSE_ID: call.id,
            **self._identity,
        }
        attributes = {key: value for key, value in attributes.items() if value}
        if call.finish_reason:
            attributes[semconv.GEN_AI_RESPONSE_FINISH_REASONS] = [call.finish_reason]
        if usage:
            attributes[semconv.GEN_AI_USAGE_INPUT_TOKENS] = usage.input
            attributes[semconv.GEN_AI_USAGE_OUTPUT_TOKENS] = usage.output
        for key, count in (
            (semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS, usage.cache_read),
            (semconv.GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS, usage.cache_write),
            (semconv.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS, usage.reasoning),
            (semconv.COST, call.cost),
        ):
            if count:
                attributes[key] = count
        self._index_of_call = getattr(self, "_index_of_call", 0) + 1
        if call.error:
            attributes[semconv.ERROR_TYPE] = "_OTHER"
        return self._base._replace(
            timestamp=call.start_time,
            span_id=self._span_id("model", call.id, self._index_of_call),
            parent_span_id=self.ids.root,
            span_name=f"{semconv.CHAT} {model}".rstrip(),
            span_kind="Client",
            span_attributes=attributes_as_text(attributes),
            duration=max(0, call.end_time - call.start_time),
            status_code="Error" if call.error else "Unset",
            status_message=masked_line(call.error, ACTION_LIMIT),
        )

    # --- the root --------------------------------------------------------------------------------------------------

    def root(self) -> Row:
        run = self._run
        attributes = {**self._what_was_asked(), **self._how_it_went()}
        failed = attributes[semconv.OUTCOME] == "failure"
        if failed:
            attributes.setdefault(semconv.ERROR_TYPE, "_OTHER")
        row = self._base._replace(
            timestamp=run.start_time,
            span_id=self.ids.root,
            span_name=f"{semconv.INVOKE_AGENT} {self._agent}".rstrip(),
            span_attributes=attributes_as_text(attributes),
            duration=end_of(run) - run.start_time,
            status_code="Error" if failed else "Unset",
            status_message=attributes.get(semconv.VERDICT, "") if failed else "",
            **self._prompts(),
        )
        links = []
        parent = self._parent
        if parent is not None and parent.trace_id:
            links.append((parent.trace_id, parent.span_id, semconv.LINK_DELEGATES))
        if run.follows_id:
            before = RunIds(run.format, run.follows_id)
            links.append((before.trace_id, before.root, semconv.LINK_FOLLOWS))
        return _with_links(row, links) if links else row

    def _prompts(self) -> dict[str, Any]:
        prompts = self._run.prompts
        if not prompts or self._capture == "none":
            return {}
        texts = [masked_text(text, OBSERVATION_LIMIT) for _, text in prompts]
        return {
            "event_timestamps": tuple(time for time, _ in prompts),
            "event_names": (semconv.PROMPT,) * len(prompts),
            "event_attributes": tuple({semconv.PROMPT_TEXT: text} for text in texts),
        }

    def _what_was_asked(self) -> dict[str, Any]:
        run = self._run
        attributes: dict[str, Any] = {
            semconv.SPAN: semconv.SPAN_EPISODE,
            semconv.GEN_AI_OPERATION_NAME: semconv.INVOKE_AGENT,
            **self._identity,
        }
        if run.task:
            attributes[semconv.TASK] = task = masked_text(run.task, OBSERVATION_LIMIT)
            if task and self._capture != "none":
                attributes[semconv.GEN_AI_INPUT_MESSAGES] = message("user", task)
        if run.model:
            attributes[semconv.GEN_AI_REQUEST_MODEL] = masked_line(run.model, NAME_LIMIT)
        for name, key in _OPTIONS.items():
            if run.options.get(name):
                told = run.options[name]
                attributes[key] = self._texts(told) if name == "tags" else masked_line(str(told), NAME_LIMIT)
        if self._parent is not None:
            attributes[semconv.PARENT_ID] = self._parent.episode_id
        if run.follows_id:
            attributes[semconv.FOLLOWS] = RunIds(run.format, run.follows_id).trace_id
        if run.format:
            attributes[semconv.SOURCE_FORMAT] = run.format
        if run.times_made_up:
            attributes[semconv.TIME_SYNTHETIC] = True
        return {**attributes, **masked_attributes(run.attributes)}

    def _how_it_went(self) -> dict[str, Any]:
        run = self._run
        attributes: dict[str, Any] = {semconv.OUTCOME: run.outcome or "unknown"}
        if run.outcome_source:
            attributes[semconv.OUTCOME_SOURCE] = run.outcome_source
        if run.ended_how:
            attributes[semconv.ENDED_HOW] = masked_line(run.ended_how, NAME_LIMIT)
        if run.verdict:
            attributes |= self._verdict(run)
        if run.artifacts and run.outcome == "success":
            attributes[semconv.ARTIFACTS] = self._texts(run.artifacts)
        if run.outcome == "partial":
            attributes[semconv.COMPLETED], attributes[semconv.FAILED] = run.done, run.not_done
        if run.outcome == "abstained":
            attributes[semconv.STOPPED_AT_STEP] = len(run.steps)
        if run.reward is not None:
            attributes[semconv.REWARD] = run.reward
        if run.cost:
            attributes[semconv.COST] = run.cost
        if run.usage:
            attributes |= tokens_of_episode(run.usage.recorded())
        return attributes

    def _verdict(self, run: Run) -> dict[str, Any]:
        verdict = masked_text(run.verdict, OBSERVATION_LIMIT)
        if not verdict or self._capture == "none":
            return {semconv.VERDICT: verdict}
        reason = "error" if run.outcome == "failure" else "stop"
        told = message("assistant", verdict, finish_reason=reason)
        return {semconv.VERDICT: verdict, semconv.GEN_AI_OUTPUT_MESSAGES: told}

    def _texts(self, texts: Any) -> list[str]:
        return [masked_text(text, OBSERVATION_LIMIT) for text in texts]


def end_of(run: Run) -> int:
    """Return when a run ended: never before it began, nor before a step of its did."""
    return max(run.start_time, run.end_time, *(step.start_time + step.duration for step in run.steps), 0)


def _with_links(row: Row, links: list[tuple[str, str, str]]) -> Row:
    return row._replace(
        link_trace_ids=tuple(link[0] for link in links),
        link_span_ids=tuple(link[1] for link in links),
        link_trace_states=("",) * len(links),
        link_attributes=tuple({semconv.LINK_KIND: link[2]} for link in links),
    )
