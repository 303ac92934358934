-- Spans of other instrumentations: what each of them says by itself, in one table, whatever the convention.
-- What they add up to is read per trace (sql/views/foreign.sql), so late, repeated and shuffled inserts end the same.

-- name: agent_spans
CREATE TABLE IF NOT EXISTS agent_spans
(
    EpisodeId String COMMENT 'episode.id where our processor put it on the span, else the trace',
    TraceId String,
    SpanId String,
    ParentSpanId String,
    Role LowCardinality(String) COMMENT 'agent, tool, model or structure (chains, tasks, turns, workflows and what is not known); execution: the part of a tool span in which it ran; step: a step of ours outside any episode; housekeeping: create_agent, tools/list and their like',
    Operation LowCardinality(String) COMMENT 'attribute=value by which the role was decided',
    Known Bool COMMENT 'false: an operation nobody here has heard of, taken for structure; doctor reports it',
    Segment UInt16 COMMENT 'episode.segment, as EpisodeId',
    Stamped Bool COMMENT 'EpisodeId is an episode.id',
    Remote Bool COMMENT 'a span of kind server: the answering side of a call',
    SpanName String,
    Kind LowCardinality(String) COMMENT 'of a step of ours: episode.step.kind',
    Tool LowCardinality(String),
    Named Bool COMMENT 'an agent that carries a name',
    AgentName LowCardinality(String),
    Task String COMMENT 'what the user asked, where the span holds it; at most 1024 characters',
    Action String COMMENT 'the arguments of a tool, at most 256 characters',
    Observation String COMMENT 'the result of a tool, at most 1024 characters',
    Success Bool,
    ErrorType LowCardinality(String),
    ErrorMessage String COMMENT 'of the exception, else of the status: one line',
    StartTime DateTime64(9, 'UTC'),
    DurationNs UInt64,
    InputTokens UInt64,
    OutputTokens UInt64,
    ConversationId String,
    ServiceName LowCardinality(String),
    InsertedAt DateTime64(3, 'UTC') DEFAULT now64(3)
)
-- A span that was exported before it ended and again after: the longer one stands.
ENGINE = ReplacingMergeTree(DurationNs)
PARTITION BY toYYYYMM(StartTime)
ORDER BY (EpisodeId, TraceId, SpanId)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'spans that other instrumentations of agents, models and tools wrote; read through roots_of_episodes and steps_of_episodes';

-- name: agent_spans_mv
-- Own spans fail the first comparison of the filter; only what is left is looked at closely.
CREATE MATERIALIZED VIEW IF NOT EXISTS agent_spans_mv TO agent_spans
AS WITH
    SpanAttributes AS a,
    a['episode.span'] = 'step' AS own,
    a['gen_ai.operation.name'] AS operation,
    lower(a['openinference.span.kind']) AS openinference,
    lower(a['traceloop.span.kind']) AS traceloop,
    -- Others use span.type for something else (web, sql): only words of agents count.
    if(startsWith(SpanName, 'claude_code.') OR a['span.type'] IN ('interaction', 'llm_request', 'llm', 'agent', 'chain', 'task', 'turn', 'workflow'),
       a['span.type'], '') AS span_type,
    lower(a['langfuse.observation.type']) AS langfuse,
    a['mcp.method.name'] AS mcp,
    -- The first that is there and known decides. An operation that is there and unknown is structure.
    [
        ('gen_ai.operation.name', operation, transform(operation,
            ['invoke_agent', 'execute_tool', 'chat', 'text_completion', 'generate_content', 'embeddings', 'llm_request',
             'create_agent', 'invoke_workflow', 'execute_task', 'retrieval', 'vector_db_retrieve', 'handoff', 'goto'],
            ['agent', 'tool', 'model', 'model', 'model', 'model', 'model',
             'housekeeping', 'structure', 'structure', 'structure', 'structure', 'structure', 'structure'], '')),
        ('openinference.span.kind', openinference, transform(openinference,
            ['agent', 'tool', 'llm', 'embedding', 'chain', 'retriever', 'reranker', 'guardrail', 'evaluator', 'prompt', 'decision', 'unknown'],
            ['agent', 'tool', 'model', 'model', 'structure', 'structure', 'structure', 'structure', 'structure', 'structure', 'structure', 'structure'], '')),
        ('traceloop.span.kind', traceloop, transform(traceloop,
            ['agent', 'tool', 'workflow', 'task', 'unknown'], ['agent', 'tool', 'structure', 'structure', 'structure'], '')),
        ('span.type', span_type, transform(span_type,
            ['agent', 'tool', 'llm_request', 'llm', 'interaction', 'chain', 'task', 'turn', 'workflow', 'tool.blocked_on_user', 'hook', 'tool.execution'],
            ['agent', 'tool', 'model', 'model', 'structure', 'structure', 'structure', 'structure', 'structure', 'structure', 'structure', 'execution'], '')),
        ('langfuse.observation.type', langfuse, transform(langfuse,
            ['agent', 'tool', 'generation', 'embedding', 'span', 'event', 'chain', 'retriever', 'guardrail', 'evaluator'],
            ['agent', 'tool', 'model', 'model', 'structure', 'structure', 'structure', 'structure', 'structure', 'structure'], ''))
    ] AS said,
    arrayFirst(x -> x.3 != '', said) AS decided,
    arrayFirst(x -> x.2 != '', said) AS unknown,
    if(a['gen_ai.tool.name'] != '', 'gen_ai.tool.name', if(a['tool.name'] != '', 'tool.name', '')) AS tool_attribute,
    multiIf(
        a['logfire.span_type'] = 'pending_span', ('', '', ''),
        own, ('episode.span', 'step', 'step'),
        decided.3 != '', decided,
        unknown.2 != '', (unknown.1, unknown.2, 'structure'),
        tool_attribute != '', (tool_attribute, '', 'tool'),
        mcp != '', ('mcp.method.name', mcp, if(mcp = 'tools/call', 'tool', 'housekeeping')),
        a['llm.request.type'] != '' OR a['gen_ai.request.model'] != '', ('gen_ai.request.model', '', 'model'),
        a['agent_name'] != '' AND a['model_name'] != '', ('agent_name', '', 'agent'),
        ('', '', '')) AS verdict,
    verdict.3 AS role,
    arrayFirst(x -> x != '', [
        a['gen_ai.agent.name'], a['agent.name'], a['agent_name'],
        if(traceloop = 'agent', a['traceloop.entity.name'], ''), if(langfuse = 'agent', toString(SpanName), ''), '']) AS agent_name,
    -- What was asked: the first message of the user, in whichever form it is kept. Only the beginning is looked at.
    substring(arrayFirst(x -> x != '', [
        a['user_prompt'], a['gen_ai.input.messages'], a['pydantic_ai.all_messages'], a['all_messages_events'],
        arrayStringConcat(arrayMap(i -> concat('{"role":"user","content":', toJSONString(a[concat('llm.input_messages.', toString(i), '.message.content')]), '}'),
            arraySlice(arrayFilter(i -> a[concat('llm.input_messages.', toString(i), '.message.role')] = 'user', range(8)), 1, 1))),
        arrayStringConcat(arrayMap(i -> concat('{"role":"user","content":', toJSONString(a[concat('gen_ai.prompt.', toString(i), '.content')]), '}'),
            arraySlice(arrayFilter(i -> a[concat('gen_ai.prompt.', toString(i), '.role')] = 'user', range(8)), 1, 1))),
        a['langfuse.observation.input'], a['langfuse.trace.input'], a['traceloop.entity.input'], a['input.value'], '']), 1, 65536) AS asked,
    arrayFirst(x -> x != '', [
        extract(asked, '(?s)"role":\\s*"(?:user|human)"[^}]{0,300}?"(?:content|text)":\\s*"((?:[^"\\\\]|\\\\.)*)"'),
        extract(asked, '(?s)"content":\\s*"((?:[^"\\\\]|\\\\.)*)",\\s*"role":\\s*"(?:user|human)"'),
        extract(asked, '(?s)\\[\\s*"(?:user|human)",\\s*"((?:[^"\\\\]|\\\\.)*)"'),
        extract(asked, '(?s)"type":\\s*"human",\\s*"data":\\s*\\{\\s*"content":\\s*"((?:[^"\\\\]|\\\\.)*)"'),
        extract(asked, '(?s)"(?:task|question|query|prompt|input|message)":\\s*"((?:[^"\\\\]|\\\\.)*)"'),
        extract(asked, '(?s)^"((?:[^"\\\\]|\\\\.)*)"$'), '']) AS message,
    multiIf(
        role NOT IN ('agent', 'model', 'structure'), '',
        message != '', JSONExtractString(concat('["', message, '"]'), 1),
        -- Arguments in JSON without a message in them say nothing of a task.
        match(asked, '^\\s*[\\[{]'), '',
        asked) AS task,
    arrayFirst(x -> x != '', [
        a['gen_ai.tool.call.arguments'], a['tool_arguments'], a['full_command'], a['file_path'], a['tool_input'],
        a['langfuse.observation.input'], a['traceloop.entity.input'], a['input.value'], a['tool.parameters'], '']) AS arguments,
    multiIf(
        own, a['episode.step.action'],
        role != 'tool', '',
        -- smolagents wraps the arguments of a tool in those of its __call__.
        startsWith(arguments, '{"args":') AND JSONHas(arguments, 'kwargs'), JSONExtractRaw(arguments, 'kwargs'),
        arguments) AS action,
    arrayFirst(x -> x != '', [
        a['gen_ai.tool.call.result'], a['tool_response'], a['tool_output'],
        a['langfuse.observation.output'], a['traceloop.entity.output'], a['output.value'], '']) AS result,
    -- A ToolMessage of LangChain, serialised.
    role = 'tool' AND startsWith(result, '{"type": "tool"') AS is_message,
    multiIf(
        own, a['episode.step.observation'],
        role != 'tool', '',
        is_message, JSONExtractString(result, 'data', 'content'),
        result) AS observation,
    indexOf(Events.Name, 'exception') AS exception,
    trimBoth(splitByString('\n', splitByString('Traceback (most recent call last)', arrayFirst(x -> x != '', [
        if(exception > 0, Events.Attributes[exception]['exception.message'], ''), toString(StatusMessage),
        a['langfuse.observation.status_message'], if(span_type != '', a['error'], ''), '']))[1])[1]) AS error_message,
    arrayFirst(x -> x != '', [
        a['error.type'], if(exception > 0, Events.Attributes[exception]['exception.type'], ''), if(span_type != '', a['error_type'], ''), '']) AS error_type,
    multiIf(
        own AND mapContains(a, 'episode.step.success'), a['episode.step.success'] = 'true',
        StatusCode IN ('Error', 'STATUS_CODE_ERROR') OR a['langfuse.observation.level'] = 'ERROR', false,
        is_message AND JSONExtractString(result, 'data', 'status') = 'error', false,
        span_type != '' AND a['success'] = 'false', false,
        StatusCode IN ('Ok', 'STATUS_CODE_OK'), true,
        a['error.type'] = '') AS succeeded
SELECT
    if(a['episode.id'] != '', a['episode.id'], TraceId) AS EpisodeId,
    TraceId,
    SpanId,
    ParentSpanId,
    role AS Role,
    if(verdict.2 = '', verdict.1, concat(verdict.1, '=', substringUTF8(verdict.2, 1, 60))) AS Operation,
    NOT (decided.3 = '' AND unknown.2 != '' AND NOT own) AS Known,
    toUInt16OrZero(a['episode.segment']) AS Segment,
    a['episode.id'] != '' AS Stamped,
    SpanKind IN ('Server', 'SPAN_KIND_SERVER') AS Remote,
    SpanName,
    multiIf(NOT own, 'tool_use', a['episode.step.kind'] = '', 'tool_use', a['episode.step.kind']) AS Kind,
    if(role IN ('tool', 'step'), arrayFirst(x -> x != '', [
        a['gen_ai.tool.name'], a['tool.name'], if(span_type != '', a['tool_name'], ''), a['traceloop.entity.name'], a['mcp.tool.name'],
        if(own, '', replaceRegexpOne(toString(SpanName), '^(execute_tool|tools/call|running tool:?) ', '')), '']), '') AS Tool,
    role = 'agent' AND agent_name != '' AS Named,
    multiIf(
        agent_name != '', agent_name,
        startsWith(a['metadata'], '{'), JSONExtractString(a['metadata'], 'lc_agent_name'),
        role = 'agent', replaceRegexpOne(toString(SpanName), '^invoke_agent |\\.run$', ''),
        '') AS AgentName,
    if(lengthUTF8(task) > 1024, concat(substringUTF8(task, 1, 1023), '…'), task) AS Task,
    if(lengthUTF8(action) > 256, concat(substringUTF8(action, 1, 255), '…'), action) AS Action,
    if(lengthUTF8(observation) > 1024, concat(substringUTF8(observation, 1, 1023), '…'), observation) AS Observation,
    succeeded AS Success,
    if(succeeded, '', error_type) AS ErrorType,
    if(succeeded, '', substringUTF8(if(error_message != '', error_message, splitByString('\n', observation)[1]), 1, 256)) AS ErrorMessage,
    Timestamp AS StartTime,
    Duration AS DurationNs,
    if(own, toUInt64OrZero(a['episode.step.tokens.input']), toUInt64OrZero(arrayFirst(x -> x NOT IN ('', '0'), [
        a['gen_ai.usage.input_tokens'], a['gen_ai.usage.prompt_tokens'], a['gen_ai.aggregated_usage.input_tokens'], a['llm.token_count.prompt'],
        if(span_type != '', a['input_tokens'], ''), JSONExtractRaw(a['langfuse.observation.usage_details'], 'input'), '0']))) AS InputTokens,
    if(own, toUInt64OrZero(a['episode.step.tokens.output']), toUInt64OrZero(arrayFirst(x -> x NOT IN ('', '0'), [
        a['gen_ai.usage.output_tokens'], a['gen_ai.usage.completion_tokens'], a['gen_ai.aggregated_usage.output_tokens'], a['llm.token_count.completion'],
        if(span_type != '', a['output_tokens'], ''), JSONExtractRaw(a['langfuse.observation.usage_details'], 'output'), '0']))) AS OutputTokens,
    arrayFirst(x -> x != '', [a['gen_ai.conversation.id'], a['session.id'], '']) AS ConversationId,
    ServiceName
FROM otel_traces
WHERE if(SpanAttributes['episode.span'] = '',
         hasAny(mapKeys(SpanAttributes), [
             'gen_ai.operation.name', 'openinference.span.kind', 'traceloop.span.kind', 'span.type', 'langfuse.observation.type',
             'gen_ai.tool.name', 'tool.name', 'mcp.method.name', 'gen_ai.request.model', 'llm.request.type', 'agent_name']),
         SpanAttributes['episode.span'] = 'step' AND SpanAttributes['episode.id'] = '')
    AND role != '';

-- name: episode_steps_foreign_mv
-- So that a tool's span is a step as soon as it is stored. A call answered by a server is left to the span of who called;
-- what else turns out to be the same step seen twice is told apart where the whole trace is read.
CREATE MATERIALIZED VIEW IF NOT EXISTS episode_steps_foreign_mv TO episode_steps
AS SELECT
    EpisodeId, TraceId, SpanId, ParentSpanId, Segment, toUInt32(0) AS StepIndex, Kind, Tool, Action, Observation, Success, ErrorType,
    ErrorMessage, StartTime, DurationNs, InputTokens, OutputTokens, toUInt32(0) AS BatchCount, toUInt32(0) AS BatchErrors, AgentName,
    ServiceName, Operation AS Convention
FROM agent_spans
WHERE Role = 'tool' AND NOT (Remote AND ParentSpanId != '');

-- name: episode_traces
CREATE TABLE IF NOT EXISTS episode_traces
(
    TraceId String,
    EpisodeId String COMMENT 'the episode whose root is the root of that trace'
)
ENGINE = ReplacingMergeTree
ORDER BY (TraceId, EpisodeId)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'traces that are not named as their episode is: segments after the first, and episodes with an id of their own';

-- name: episode_traces_mv
CREATE MATERIALIZED VIEW IF NOT EXISTS episode_traces_mv TO episode_traces
AS SELECT TraceId, EpisodeId
FROM episode_roots
WHERE Ended AND ParentSpanId = '' AND EpisodeId != '' AND EpisodeId != TraceId;
