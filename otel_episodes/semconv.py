"""Attribute names and values.

The GenAI semantic conventions are still in development, so their names live here rather than in an import of
OpenTelemetry's incubating package; what has no standard name is in the single namespace ``episode.``.
"""

from __future__ import annotations

from typing import Final

# --- OpenTelemetry's own -------------------------------------------------------------------------------------------
ERROR_TYPE: Final = "error.type"
USER_ID: Final = "user.id"
GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_AGENT_NAME: Final = "gen_ai.agent.name"
GEN_AI_AGENT_DESCRIPTION: Final = "gen_ai.agent.description"
GEN_AI_CONVERSATION_ID: Final = "gen_ai.conversation.id"
GEN_AI_TOOL_NAME: Final = "gen_ai.tool.name"
GEN_AI_TOOL_CALL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
GEN_AI_TOOL_CALL_RESULT: Final = "gen_ai.tool.call.result"
GEN_AI_TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
GEN_AI_INPUT_MESSAGES: Final = "gen_ai.input.messages"
GEN_AI_OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
# Parts of the two above, not beside them: input tokens include what was read from and written to a cache.
GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
# What it was called until the first release of the conventions; read too.
GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
GEN_AI_RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_EVALUATION_RESULT: Final = "gen_ai.evaluation.result"
GEN_AI_EVALUATION_NAME: Final = "gen_ai.evaluation.name"
GEN_AI_EVALUATION_SCORE_VALUE: Final = "gen_ai.evaluation.score.value"
GEN_AI_EVALUATION_SCORE_LABEL: Final = "gen_ai.evaluation.score.label"
GEN_AI_EVALUATION_EXPLANATION: Final = "gen_ai.evaluation.explanation"
INVOKE_AGENT: Final = "invoke_agent"
EXECUTE_TOOL: Final = "execute_tool"
CHAT: Final = "chat"

# The well-known value of error.type for a tool that answered "this failed" (semantic conventions for MCP).
TOOL_ERROR: Final = "tool_error"

# --- ours: identity ------------------------------------------------------------------------------------------------
SPAN: Final = "episode.span"
SPAN_EPISODE: Final = "episode"
SPAN_STEP: Final = "step"
SPAN_START: Final = "start"
SPAN_MARK: Final = "mark"
SPAN_ADVICE: Final = "advice"
SPAN_FEEDBACK: Final = "feedback"
EPISODE_ID: Final = "episode.id"
SEGMENT: Final = "episode.segment"
PARENT_ID: Final = "episode.parent.id"
IMPLICIT: Final = "episode.implicit"
# True where the block of the episode was left with another context current than it was entered in.
CONTEXT_LOST: Final = "episode.context_lost"
# On the start marker, which has nothing of the conventions' names: viewers take whatever has for a part of the run.
AGENT: Final = "episode.agent"
CONVERSATION: Final = "episode.conversation"

# --- ours: the task ------------------------------------------------------------------------------------------------
TASK: Final = "episode.task"
TASK_TYPE: Final = "episode.task_type"
DOMAIN: Final = "episode.domain"
LANGUAGE: Final = "episode.language"
FRAMEWORK: Final = "episode.framework"
COMPLEXITY: Final = "episode.complexity"
TAGS: Final = "episode.tags"

# --- ours: the outcome ---------------------------------------------------------------------------------------------
OUTCOME: Final = "episode.outcome"
OUTCOME_SOURCE: Final = "episode.outcome.source"
VERDICT: Final = "episode.verdict"
ARTIFACTS: Final = "episode.artifacts"
COMPLETED: Final = "episode.completed"
FAILED: Final = "episode.failed"
STOPPED_AT_STEP: Final = "episode.stopped_at_step"
SIGNALS: Final = "episode.signals"
REWARD: Final = "episode.reward"
TOKENS_INPUT: Final = "episode.tokens.input"
TOKENS_OUTPUT: Final = "episode.tokens.output"
TOKENS_CACHE_READ: Final = "episode.tokens.cache_read"
TOKENS_CACHE_WRITE: Final = "episode.tokens.cache_write"
TOKENS_REASONING: Final = "episode.tokens.reasoning"

# --- ours: a step --------------------------------------------------------------------------------------------------
STEP_KIND: Final = "episode.step.kind"
STEP_INDEX: Final = "episode.step.index"
STEP_ACTION: Final = "episode.step.action"
STEP_OBSERVATION: Final = "episode.step.observation"
# What led to a failure: the exceptions before it, the notes on it, the parts of a group.
ERROR_CAUSES: Final = "episode.error.causes"
ERROR_NOTES: Final = "episode.error.notes"
ERROR_PARTS: Final = "episode.error.parts"
# The exception that ended a step without failing it: it steers (an interrupt, a retry), or it was expected.
STEP_ENDED_BY: Final = "episode.step.ended_by"
# True, False, or "unknown": a call that nobody answered.
STEP_SUCCESS: Final = "episode.step.success"
# What the action was made from, where that was a template: steps with the same one did the same with other values.
STEP_TEMPLATE: Final = "episode.step.template"
STEP_TOKENS_INPUT: Final = "episode.step.tokens.input"
STEP_TOKENS_OUTPUT: Final = "episode.step.tokens.output"
STEP_TOKENS_CACHE_READ: Final = "episode.step.tokens.cache_read"
STEP_TOKENS_CACHE_WRITE: Final = "episode.step.tokens.cache_write"
STEP_TOKENS_REASONING: Final = "episode.step.tokens.reasoning"
BATCH_COUNT: Final = "episode.step.batch.count"
BATCH_ERRORS: Final = "episode.step.batch.errors"
BATCH_BUSY_NS: Final = "episode.step.batch.busy_ns"
BATCH_LATENCY_MAX_NS: Final = "episode.step.batch.latency_max_ns"
BATCH_ITEM: Final = "episode.step.batch.item"
BATCH_ITEM_LATENCY_NS: Final = "episode.step.latency_ns"
DECISION_OPTIONS: Final = "episode.decision.options"
DECISION_CHOICE: Final = "episode.decision.choice"
DECISION_CONFIDENCE: Final = "episode.decision.confidence"

# --- ours: a run that came from elsewhere --------------------------------------------------------------------------
# The name of the reader, and what the source calls the run where that is not the episode's id.
SOURCE_FORMAT: Final = "episode.source.format"
SOURCE_ID: Final = "episode.source.id"
# prompt: a part of a session, of which each prompt is an episode.
DIVIDED: Final = "episode.source.divided"
# The source's own word for the end: Submitted, turn_aborted: interrupted.
ENDED_HOW: Final = "episode.ended_how"
# An event of the episode: what the user said after the task.
PROMPT: Final = "episode.prompt"
PROMPT_TEXT: Final = "episode.prompt.text"
# In US dollars, of a run or of a model call.
COST: Final = "episode.cost"
# The source has no times: those of the run are in order and mean nothing else.
TIME_SYNTHETIC: Final = "episode.time.synthetic"
# Nothing in the source answers the call.
STEP_UNANSWERED: Final = "episode.step.unanswered"

# --- ours: advice --------------------------------------------------------------------------------------------------
# What a run was told, or would have been had it not been held back, on a span of its own.
ADVICE_ID: Final = "episode.advice.id"
# brief, warning or recovery: each has one outcome by which it is judged.
ADVICE_PLACE: Final = "episode.advice.place"
# shown or held, and how likely shown was.
ADVICE_ARM: Final = "episode.advice.arm"
ADVICE_SHARE: Final = "episode.advice.share"
# What was drawn for: the conversation, else the outermost episode; and by which text, as the beginning of its hash.
ADVICE_UNIT: Final = "episode.advice.unit"
ADVICE_POLICY: Final = "episode.advice.policy"
# Ids of what there was to say, and of these what was said.
ADVICE_ITEMS: Final = "episode.advice.items"
ADVICE_SHOWN: Final = "episode.advice.shown"
ADVICE_TEXT: Final = "episode.advice.text"
# What came of it, by whom it was used: on a span of its own, with the advice's id.
FEEDBACK_VERDICT: Final = "episode.feedback.verdict"
FEEDBACK_ITEM: Final = "episode.feedback.item"
FEEDBACK_NOTE: Final = "episode.feedback.note"
FEEDBACK_BY: Final = "episode.feedback.by"

# --- ours: what is said of an episode afterwards, on a span of its own ------------------------------------------------
# tag, untag, checkpoint, follows, retries or part_of.
MARK_KIND: Final = "episode.mark.kind"
MARK_VALUE: Final = "episode.mark.value"
MARK_NOTE: Final = "episode.mark.note"
# On an episode that was recorded knowing it: the one that it follows.
FOLLOWS: Final = "episode.follows"

# --- ours: links ---------------------------------------------------------------------------------------------------
LINK_KIND: Final = "episode.link.kind"
LINK_RETRIES: Final = "retries"
LINK_RESUMES: Final = "resumes"
LINK_DELEGATES: Final = "delegates"
LINK_HANDLES: Final = "handles"
LINK_FOLLOWS: Final = "follows"

# --- values --------------------------------------------------------------------------------------------------------
KINDS: Final = ("tool_use", "decision_point", "error_handling", "milestone")
OUTCOMES: Final = ("success", "partial", "failure", "abstained")
# It ended, and nobody said how: neither won nor lost.
UNKNOWN: Final = "unknown"
# Who said the outcome: an explicit word, a score from outside, an exception that escaped, a rule in the store; or
# nobody, and a block that ended cleanly is a success.
OUTCOME_SOURCES: Final = ("told", "score", "exception", "rule", "default")
TOLD: Final = "told"
SCORE: Final = "score"
EXCEPTION: Final = "exception"
RULE: Final = "rule"
DEFAULT: Final = "default"
COMPLEXITIES: Final = ("simple", "moderate", "complex")

# Where advice is given, and what is said of it.
ADVICE_PLACES: Final = ("brief", "warning", "recovery")
SHOWN: Final = "shown"
HELD: Final = "held"
VERDICTS: Final = ("helped", "no_effect", "harmed")

# Operations whose gen_ai.usage.* is the sum of model calls made below them, not a call of their own.
AGGREGATE_OPERATIONS: Final = frozenset(("invoke_agent", "create_agent", "invoke_workflow", "execute_tool"))
