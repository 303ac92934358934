-- Spans of other instrumentations: what each of them says by itself, in one table, whatever the convention.
-- What they add up to is read per trace (sql/views/agent_traces.sql), so late, repeated and shuffled inserts end the same.

-- name: internal_agent_spans
CREATE TABLE IF NOT EXISTS internal_agent_spans
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
    Arguments String COMMENT 'what a tool was called with, at most 16384 characters',
    Action String COMMENT 'the same for people, at most 256 characters',
    Observation String COMMENT 'the result of a tool, at most 1024 characters',
    Success Nullable(Bool) COMMENT 'NULL: nobody can tell',
    ErrorType LowCardinality(String),
    ErrorMessage String COMMENT 'of the exception, else of the status: one line',
    StartTime DateTime64(9, 'UTC'),
    DurationNs UInt64,
    Provider LowCardinality(String) COMMENT 'of a model: gen_ai.provider.name and its like',
    Model LowCardinality(String) COMMENT 'the one that answered, else the one that was asked for',
    ResponseId String COMMENT 'gen_ai.response.id: the same call, whoever reports it',
    FinishReason LowCardinality(String),
    InputTokens UInt64 COMMENT 'cached ones included',
    OutputTokens UInt64,
    CacheReadTokens UInt64,
    CacheWriteTokens UInt64,
    ReasoningTokens UInt64,
    ConversationId String,
    ScopeName LowCardinality(String) COMMENT 'the instrumentation',
    ServiceName LowCardinality(String),
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none',
    InsertedAt DateTime64(3, 'UTC') DEFAULT now64(3),
    INDEX by_episode EpisodeId TYPE bloom_filter(0.00001) GRANULARITY 64
)
-- A span that was exported before it ended and again after: the longer one stands.
ENGINE = ReplacingMergeTree(DurationNs)
PARTITION BY toYYYYMM(StartTime)
ORDER BY (EpisodeId, Tenant, TraceId, SpanId)
COMMENT 'spans that other instrumentations of agents, models and tools wrote; read through internal_roots_of_episodes and steps';

-- name: internal_agent_spans_seen
-- Keeps nothing: a step between two views, so that an insert without such spans does not pay for planning the second.
CREATE TABLE IF NOT EXISTS internal_agent_spans_seen
(
    Timestamp DateTime64(9),
    TraceId String,
    SpanId String,
    ParentSpanId String,
    SpanName String,
    SpanKind String,
    ServiceName LowCardinality(String),
    Tenant LowCardinality(String),
    SpanAttributes Map(LowCardinality(String), String),
    Duration UInt64,
    StatusCode String,
    StatusMessage String,
    Exception Map(LowCardinality(String), String)
)
ENGINE = Null;

-- name: internal_agent_spans_seen_mv
-- Own spans fail the first comparison.
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_agent_spans_seen_mv TO internal_agent_spans_seen
AS SELECT
    Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, ResourceAttributes['tenant.id'] AS Tenant, SpanAttributes, Duration, StatusCode, StatusMessage,
    Events.Attributes[indexOf(Events.Name, 'exception')] AS Exception
FROM otel_traces
WHERE if(SpanAttributes['episode.span'] = '',
         hasAny(mapKeys(SpanAttributes), [
             'gen_ai.operation.name', 'openinference.span.kind', 'traceloop.span.kind', 'span.type', 'langfuse.observation.type',
             'gen_ai.tool.name', 'tool.name', 'mcp.method.name', 'gen_ai.request.model', 'llm.request.type', 'agent_name']),
         SpanAttributes['episode.span'] = 'step' AND SpanAttributes['episode.id'] = '');

-- name: internal_agent_spans_mv
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_agent_spans_mv TO internal_agent_spans
AS SELECT
    if(a['episode.id'] = '', TraceId, a['episode.id']) AS EpisodeId,
    TraceId, SpanId, ParentSpanId, Role,
    if(Value = '', Attribute, concat(Attribute, '=', substring(Value, 1, 60))) AS Operation,
    Known,
    toUInt16OrZero(a['episode.segment']) AS Segment,
    a['episode.id'] != '' AS Stamped,
    SpanKind IN ('Server', 'SPAN_KIND_SERVER') AS Remote,
    SpanName,
    if(a['episode.step.kind'] = '', 'tool_use', a['episode.step.kind']) AS Kind,
    multiIf(Role NOT IN ('tool', 'step'), '', Texts[1] != '', Texts[1], Role = 'step', '', extract(SpanName, '^(?:execute_tool |tools/call |running tool:? )?(.*)')) AS Tool,
    Role = 'agent' AND (Texts[2] != '' OR Attribute IN ('langfuse.observation.type', 'traceloop.span.kind')) AS Named,
    multiIf(Texts[2] != '', Texts[2], Role = 'agent', extract(SpanName, '^(?:invoke_agent )?(.*?)(?:\\.run|\\.agent)?$'), Chain) AS AgentName,
    -- Arguments in JSON without a message in them say nothing of a task.
    if(Role IN ('agent', 'model', 'structure'),
       substringUTF8(multiIf(Quoted != '', JSONExtractString(concat('[', Quoted, ']'), 1), Asked LIKE '{%' OR Asked LIKE '[%', '', Asked), 1, 1024), '') AS Task,
    -- Some wrap the arguments in those of the call, or the result in the message made of it.
    if(Role IN ('tool', 'step'), substringUTF8(multiIf(
        startsWith(Texts[4], '{"action": "') AND JSONLength(Texts[4]) = 1, JSONExtractString(Texts[4], 'action'),
        Texts[4] LIKE '{"args": []%"kwargs":%', JSONExtractRaw(Texts[4], 'kwargs'),
        Texts[4] LIKE '{"args":%"kwargs": {}}', JSONExtractRaw(Texts[4], 'args'),
        Texts[4] LIKE '{"input_str":%', JSONExtractString(Texts[4], 'input_str'),
        Texts[4]), 1, 256), '') AS Action,
    if(Role IN ('tool', 'step'), substringUTF8(if(Message LIKE '{%', JSONExtractString(Message, 'content'), Texts[5]), 1, 1024), '') AS Observation,
    multiIf(
        a['episode.step.success'] != '', a['episode.step.success'] = 'true',
        StatusCode IN ('Error', 'STATUS_CODE_ERROR') OR a['langfuse.observation.level'] = 'ERROR' OR JSONExtractString(Message, 'status') = 'error', false,
        StatusCode IN ('Ok', 'STATUS_CODE_OK'), true,
        a['error.type'] = '' AND NOT (Attribute = 'span.type' AND a['success'] = 'false')) AS Success,
    if(Success, '', if(Texts[6] = '', Exception['exception.type'], Texts[6])) AS ErrorType,
    -- The first line, without the stack that some instrumentations put behind it.
    if(Success, '', substringUTF8(trimBoth(splitByRegexp('\\n|Traceback \\(most recent', multiIf(Exception['exception.message'] != '', Exception['exception.message'],
        StatusMessage != '', StatusMessage, Texts[7] != '', Texts[7], Observation))[1]), 1, 256)) AS ErrorMessage,
    if(Role = 'tool', substringUTF8(Texts[4], 1, 16384), '') AS Arguments,
    StartTime,
    DurationNs,
    if(a['gen_ai.provider.name'] = '', a['gen_ai.system'], a['gen_ai.provider.name']) AS Provider,
    if(a['gen_ai.response.model'] = '', a['gen_ai.request.model'], a['gen_ai.response.model']) AS Model,
    a['gen_ai.response.id'] AS ResponseId,
    JSONExtract(a['gen_ai.response.finish_reasons'], 'Array(String)')[1] AS FinishReason,
    toUInt64OrZero(Texts[8]) AS InputTokens,
    toUInt64OrZero(Texts[9]) AS OutputTokens,
    toUInt64OrZero(a['gen_ai.usage.cache_read.input_tokens']) AS CacheReadTokens,
    toUInt64OrZero(a['gen_ai.usage.cache_creation.input_tokens']) AS CacheWriteTokens,
    toUInt64OrZero(a['gen_ai.usage.reasoning.output_tokens']) AS ReasoningTokens,
    Texts[10] AS ConversationId,
    ServiceName,
    Tenant
FROM
(
    SELECT
        *,
        Said.1 AS Attribute, Said.2 AS Value, Said.3 AS Role, Said.4 AS Known,
        JSONExtractString(a['metadata'], 'lc_agent_name') AS Chain,
        -- A ToolMessage of LangChain, serialised in either way: it says itself whether it is an error.
        multiIf(
            Said.3 = 'tool' AND Texts[5] LIKE '{"type": "tool",%', JSONExtractRaw(Texts[5], 'data'),
            Said.3 = 'tool' AND Texts[5] LIKE '{"output": {"lc":%', JSONExtractRaw(Texts[5], 'output', 'kwargs'),
            '') AS Message,
        -- What was asked: the first message of the user, in whichever form it is kept.
        multiIf(
            a['user_prompt'] != '', a['user_prompt'],
            a['llm.input_messages.0.message.role'] = 'user', a['llm.input_messages.0.message.content'],
            a['llm.input_messages.1.message.role'] = 'user', a['llm.input_messages.1.message.content'],
            a['gen_ai.prompt.0.role'] = 'user', a['gen_ai.prompt.0.content'],
            a['gen_ai.prompt.1.role'] = 'user', a['gen_ai.prompt.1.content'],
            Texts[3]) AS Asked,
        extract(substring(Asked, 1, 65536), concat(
            '(?s)(?:^\\{"args":\\s*\\[\\s*|"role":\\s*"(?:user|human)"[^}]{0,300}?"(?:content|text)":\\s*|\\[\\s*"(?:user|human)",\\s*|"type":\\s*"human",\\s*"data":\\s*\\{\\s*"content":\\s*',
            '|"(?:task|question|query|prompt|input|message)":\\s*|^)("(?:[^"\\\\]|\\\\.)*")')) AS Quoted
    FROM
    (
        -- The first that is there and known decides. What is there and unknown is structure.
        SELECT
            TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, Tenant, StartTime, DurationNs, StatusCode, StatusMessage, a, Exception,
            -- Of each list of names the first that is there.
            arrayMap(names -> arrayFirst(x -> x NOT IN ('', '0'), arrayMap(name -> a[name], names)), [
                ['gen_ai.tool.name', 'tool.name', 'tool_name', 'traceloop.entity.name', 'mcp.tool.name'],
                ['gen_ai.agent.name', 'agent.name', 'agent_name'],
                ['gen_ai.input.messages', 'pydantic_ai.all_messages', 'all_messages_events', 'langfuse.observation.input', 'langfuse.trace.input',
                 'traceloop.entity.input', 'input.value'],
                ['episode.step.action', 'gen_ai.tool.call.arguments', 'tool_arguments', 'full_command', 'file_path', 'tool_input',
                 'langfuse.observation.input', 'traceloop.entity.input', 'input.value', 'tool.parameters'],
                ['episode.step.observation', 'gen_ai.tool.call.result', 'tool_response', 'tool_output', 'langfuse.observation.output',
                 'traceloop.entity.output', 'output.value'],
                ['error.type', 'error_type'],
                ['langfuse.observation.status_message', 'error'],
                ['episode.step.tokens.input', 'gen_ai.usage.input_tokens', 'gen_ai.usage.prompt_tokens', 'gen_ai.aggregated_usage.input_tokens',
                 'llm.token_count.prompt', 'input_tokens', 'langfuse.input_tokens'],
                ['episode.step.tokens.output', 'gen_ai.usage.output_tokens', 'gen_ai.usage.completion_tokens', 'gen_ai.aggregated_usage.output_tokens',
                 'llm.token_count.completion', 'output_tokens', 'langfuse.output_tokens'],
                ['gen_ai.conversation.id', 'session.id']]) AS Texts,
            multiIf(
                a['logfire.span_type'] = 'pending_span', ('', '', '', true),
                a['episode.span'] = 'step', ('episode.span', 'step', 'step', true),
                notEmpty(Kinds), arrayFirst(x -> x.3 != '', arrayPushBack(Kinds, (Kinds[1].1, Kinds[1].2, 'structure', false))),
                a['gen_ai.tool.name'] != '', ('gen_ai.tool.name', '', 'tool', true),
                a['tool.name'] != '', ('tool.name', '', 'tool', true),
                a['mcp.method.name'] != '', ('mcp.method.name', a['mcp.method.name'], if(a['mcp.method.name'] = 'tools/call', 'tool', 'housekeeping'), true),
                a['llm.request.type'] != '' OR a['gen_ai.request.model'] != '', ('gen_ai.request.model', '', 'model', true),
                a['agent_name'] != '' AND a['model_name'] != '', ('agent_name', '', 'agent', true),
                ('', '', '', true)) AS Said
        FROM
        (
            SELECT
                Timestamp AS StartTime, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, Tenant,
                -- As in internal_steps: a clock that was set back.
                if(Duration >= 9223372036854775808, 0, Duration) AS DurationNs, StatusCode, StatusMessage, Exception,
                -- Langfuse keeps its counts in a map of its own, in JSON.
                if(SpanAttributes['langfuse.observation.usage_details'] = '', SpanAttributes, mapUpdate(SpanAttributes, map(
                    toLowCardinality('langfuse.input_tokens'), JSONExtractRaw(SpanAttributes['langfuse.observation.usage_details'], 'input'),
                    toLowCardinality('langfuse.output_tokens'), JSONExtractRaw(SpanAttributes['langfuse.observation.usage_details'], 'output')))) AS a,
                arrayMap(x -> (x.1, x.2, transform(concat(x.1, '=', lower(x.2)),
                    ['gen_ai.operation.name=invoke_agent', 'openinference.span.kind=agent', 'traceloop.span.kind=agent', 'span.type=agent', 'langfuse.observation.type=agent',
                     'gen_ai.operation.name=execute_tool', 'openinference.span.kind=tool', 'traceloop.span.kind=tool', 'span.type=tool', 'langfuse.observation.type=tool',
                     'gen_ai.operation.name=chat', 'gen_ai.operation.name=text_completion', 'gen_ai.operation.name=generate_content', 'gen_ai.operation.name=embeddings',
                     'gen_ai.operation.name=llm_request', 'openinference.span.kind=llm', 'openinference.span.kind=embedding', 'span.type=llm_request', 'span.type=llm',
                     'langfuse.observation.type=generation', 'langfuse.observation.type=embedding',
                     'gen_ai.operation.name=create_agent', 'span.type=tool.execution',
                     'gen_ai.operation.name=invoke_workflow', 'gen_ai.operation.name=execute_task', 'gen_ai.operation.name=retrieval',
                     'gen_ai.operation.name=vector_db_retrieve', 'gen_ai.operation.name=handoff', 'gen_ai.operation.name=goto',
                     'openinference.span.kind=chain', 'openinference.span.kind=retriever', 'openinference.span.kind=reranker', 'openinference.span.kind=guardrail',
                     'openinference.span.kind=evaluator', 'openinference.span.kind=prompt', 'openinference.span.kind=decision', 'openinference.span.kind=unknown',
                     'traceloop.span.kind=workflow', 'traceloop.span.kind=task', 'traceloop.span.kind=unknown',
                     'span.type=interaction', 'span.type=chain', 'span.type=task', 'span.type=turn', 'span.type=workflow', 'span.type=hook', 'span.type=tool.blocked_on_user',
                     'langfuse.observation.type=span', 'langfuse.observation.type=event', 'langfuse.observation.type=chain', 'langfuse.observation.type=retriever',
                     'langfuse.observation.type=guardrail', 'langfuse.observation.type=evaluator'],
                    arrayConcat(arrayWithConstant(5, 'agent'), arrayWithConstant(5, 'tool'), arrayWithConstant(11, 'model'),
                        ['housekeeping', 'execution'], arrayWithConstant(30, 'structure')), '') AS role, role != ''),
                    arrayFilter(x -> x.2 != '', arrayZip(
                        ['gen_ai.operation.name', 'openinference.span.kind', 'traceloop.span.kind', 'span.type', 'langfuse.observation.type'],
                        [SpanAttributes['gen_ai.operation.name'], SpanAttributes['openinference.span.kind'], SpanAttributes['traceloop.span.kind'],
                         -- Others use span.type for something else (web, sql): only words of agents count.
                         if(startsWith(SpanName, 'claude_code.') OR SpanAttributes['span.type'] IN ('agent', 'llm', 'chain', 'task', 'turn', 'workflow'),
                            SpanAttributes['span.type'], ''),
                         SpanAttributes['langfuse.observation.type']]))) AS Kinds
            FROM internal_agent_spans_seen
        )
    )
)
WHERE Role != '';

-- name: internal_steps_foreign_mv
-- So that a tool's span is a step as soon as it is stored. A call answered by a server is left to the span of who called;
-- what else turns out to be the same step seen twice is told apart where the whole trace is read.
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_steps_foreign_mv TO internal_steps
AS SELECT
    EpisodeId, TraceId, SpanId, ParentSpanId, Segment, toUInt32(0) AS StepIndex, Kind, Tool, Arguments, Action, Observation, Success, ErrorType,
    ErrorMessage, StartTime, DurationNs, InputTokens, OutputTokens, toUInt32(0) AS BatchCount, toUInt32(0) AS BatchErrors, AgentName,
    ServiceName, Operation AS Convention, Tenant
FROM internal_agent_spans
WHERE Role = 'tool' AND NOT (Remote AND ParentSpanId != '');
