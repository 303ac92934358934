-- Spans of other instrumentations: what each of them says by itself, in one table, whatever the convention.
-- What they add up to is read per trace (sql/views/agent_traces.sql), so late, repeated and shuffled inserts end the same.

-- What the attributes mean is a table: shipped rows (sql/conventions) and your own.

-- name: internal_conventions
CREATE TABLE IF NOT EXISTS internal_conventions
(
    Attribute String COMMENT 'of a span; *.a.b: every one that ends so; event/a: of a span event; a/key: a key of the JSON in it; span name: its name',
    Value String COMMENT 'in lower case; empty: whatever it is; *: one that no other row has',
    Role LowCardinality(String) COMMENT 'what such a span is: agent, tool, model, structure, execution, housekeeping or ignored; empty: the row is about a field',
    Field LowCardinality(String) COMMENT 'what the attribute holds: tool, agent, asked, arguments, result, error, model, input (tokens), ...',
    Rank UInt16 COMMENT 'of several rows that match the lowest counts; 0, before all that is shipped, where none is given',
    Origin LowCardinality(String) DEFAULT 'own' COMMENT 'shipped: replaced by every update; own: yours'
)
ENGINE = ReplacingMergeTree
PARTITION BY Origin
ORDER BY (Attribute, Value, Role, Field)
COMMENT 'how spans of other instrumentations are read';

-- name: internal_conventions_shipped
-- Filled by the migration, which then puts all of it in place of the shipped rows above at once.
CREATE TABLE IF NOT EXISTS internal_conventions_shipped
(
    Attribute String COMMENT 'as in internal_conventions, and so all others',
    Value String COMMENT 'likewise',
    Role LowCardinality(String) COMMENT 'likewise',
    Field LowCardinality(String) COMMENT 'likewise',
    Rank UInt16 COMMENT 'likewise',
    Origin LowCardinality(String) DEFAULT 'shipped' COMMENT 'likewise'
)
ENGINE = ReplacingMergeTree
PARTITION BY Origin
ORDER BY (Attribute, Value, Role, Field)
COMMENT 'what this version ships';

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
    Named Bool COMMENT 'an agent, or what stands for one at the root, that carries a name',
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
    Calls Array(Tuple(Id String, Tool String, Arguments String, Earlier Bool)) COMMENT 'of a model: the calls of tools in its messages; Earlier: in what it was sent, not in its answer',
    Answers Array(Tuple(Id String, Said String, Failed Bool)) COMMENT 'of a model: what tools answered, in the messages it was sent',
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
-- Keeps nothing: a step between two views, so that an insert without such spans does not pay for planning the others.
CREATE TABLE IF NOT EXISTS internal_agent_spans_seen
(
    StartTime DateTime64(9),
    TraceId String,
    SpanId String,
    ParentSpanId String,
    SpanName String,
    SpanKind String,
    ServiceName LowCardinality(String),
    ScopeName String,
    Tenant LowCardinality(String),
    Duration UInt64,
    StatusCode String,
    StatusMessage String,
    SpanAttributes Map(LowCardinality(String), String),
    EventNames Array(String),
    EventAttributes Array(Map(LowCardinality(String), String))
)
ENGINE = Null;

-- name: internal_agent_spans_seen_mv
-- Own spans fail the first comparison. Of others every key is looked up, whole and by its last two words. Every insert of spans pays
-- for this statement, so it is a short one: what else is made of a span is left to the next.
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_agent_spans_seen_mv TO internal_agent_spans_seen
AS WITH
    marks AS
    (
        SELECT multiIf(Attribute = 'span name', Value, startsWith(Attribute, '*.'), substring(Attribute, 3), Attribute)
        FROM internal_conventions
        WHERE Role != ''
    )
SELECT
    Timestamp AS StartTime, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, ScopeName,
    ResourceAttributes['tenant.id'] AS Tenant, Duration, StatusCode, StatusMessage, SpanAttributes,
    Events.Name AS EventNames, Events.Attributes AS EventAttributes
FROM otel_traces
WHERE if(
    SpanAttributes['episode.span'] = '',
    -- In one comparison: each has a set of its own, which every insert reads again.
    arrayExists(mark -> mark IN (marks), arrayConcat(mapKeys(SpanAttributes), arrayMap(key -> substringIndex(key, '.', -2),
        mapKeys(SpanAttributes)), [lower(SpanName)])),
    SpanAttributes['episode.span'] = 'step' AND SpanAttributes['episode.id'] = '')
    AND TraceId NOT IN (SELECT TraceId FROM internal_forgotten);

-- name: internal_agent_spans_said
-- Keeps nothing either: what of a span the conventions know, by the name of the field.
CREATE TABLE IF NOT EXISTS internal_agent_spans_said
(
    StartTime DateTime64(9),
    TraceId String,
    SpanId String,
    ParentSpanId String,
    SpanName String,
    SpanKind String,
    ServiceName LowCardinality(String),
    ScopeName String,
    Tenant LowCardinality(String),
    Duration UInt64,
    StatusCode String,
    StatusMessage String,
    SpanAttributes Map(LowCardinality(String), String),
    Exception Map(LowCardinality(String), String),
    Pairs Array(Tuple(Name String, Said String)),
    Role String,
    Attribute String,
    Value String,
    Known Bool,
    Fields Map(String, String)
)
ENGINE = Null;

-- name: internal_agent_spans_said_mv
-- The pairs of a span are its name, its attributes, those of its events as event/attribute, and keys of JSON in an attribute as
-- attribute/key. A pair is looked up whole and by its last two words: whatever it says, with its word, and as a word nobody has
-- heard of.
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_agent_spans_said_mv TO internal_agent_spans_said
AS WITH
    known AS (SELECT Attribute, Value FROM internal_conventions),
    holders AS
    (
        SELECT substring(Attribute, 1, position(Attribute, '/') - 1) FROM internal_conventions WHERE position(Attribute, '/') > 1
    ),
    paired AS
    (
        SELECT
            * EXCEPT (EventNames, EventAttributes), EventAttributes[indexOf(EventNames, 'exception')] AS Exception,
            -- Some write every value as JSON: a text in quotes.
            arrayMap(pair -> (pair.1, if(startsWith(pair.2, '"') AND endsWith(pair.2, '"') AND isValidJSON(pair.2),
                JSONExtractString(pair.2), pair.2)), CAST(SpanAttributes, 'Array(Tuple(String, String))')) AS own,
            CAST(arrayConcat(
                [('span name', toString(SpanName))], own,
                arrayFlatten(arrayMap((event, attributes) -> arrayMap(
                    pair -> (concat(event, '/', pair.1), pair.2), CAST(attributes, 'Array(Tuple(String, String))')),
                    EventNames, EventAttributes)),
                arrayFlatten(arrayMap(pair -> arrayMap(
                    inner -> (concat(pair.1, '/', inner.1), inner.2), JSONExtractKeysAndValues(pair.2, 'String')),
                    arrayFilter(pair -> startsWith(pair.2, '{') AND pair.1 IN (holders), own)))),
                'Array(Tuple(Name String, Said String))') AS Pairs
        FROM internal_agent_spans_seen
    ),
    matched AS
    (
        SELECT * EXCEPT (Pairs, own), Pairs AS AllPairs, tupleElement(match, 1) AS Attribute, tupleElement(match, 2) AS Word,
            tupleElement(match, 3) AS Place, Pairs[Place].Name AS Name, Pairs[Place].Said AS Said
        FROM paired
        ARRAY JOIN arrayFilter(candidate -> (candidate.1, candidate.2) IN (known), arrayFlatten(arrayMap((pair, place) -> [
            (pair.1, '', place), (pair.1, '*', place), (pair.1, lower(substring(pair.2, 1, 60)), place),
            (concat('*.', substringIndex(pair.1, '.', -2)), '', place),
            (concat('*.', substringIndex(pair.1, '.', -2)), lower(substring(pair.2, 1, 60)), place)],
            Pairs, arrayEnumerate(Pairs)))) AS match
    )
SELECT
    m.StartTime AS StartTime, m.TraceId AS TraceId, m.SpanId AS SpanId, m.ParentSpanId AS ParentSpanId, m.SpanName AS SpanName,
    m.SpanKind AS SpanKind, m.ServiceName AS ServiceName, m.ScopeName AS ScopeName, m.Tenant AS Tenant, m.Duration AS Duration,
    m.StatusCode AS StatusCode, m.StatusMessage AS StatusMessage, any(m.SpanAttributes) AS SpanAttributes,
    any(m.Exception) AS Exception, any(m.AllPairs) AS Pairs,
    argMinIf(c.Role, (c.Rank, m.Place), c.Role != '') AS Role,
    argMinIf(m.Name, (c.Rank, m.Place), c.Role != '') AS Attribute,
    argMinIf(if(m.Word = '', '', m.Said), (c.Rank, m.Place), c.Role != '') AS Value,
    argMinIf(m.Word, (c.Rank, m.Place), c.Role != '') != '*' AS Known,
    -- A name that is a hash is not one.
    CAST(arrayMap(held -> (held.3, held.4), arraySort(groupArrayIf((c.Rank, m.Place, c.Field, m.Said),
        c.Field != '' AND m.Said NOT IN ('', '0', 'null', 'N/A', '{}', '[]')
        AND NOT (c.Field = 'agent' AND match(m.Said, '^[0-9a-fA-F-]{16,}$'))))), 'Map(String, String)') AS Fields
FROM matched AS m
INNER JOIN internal_conventions AS c ON c.Attribute = m.Attribute AND c.Value = m.Word
GROUP BY ALL;

-- name: internal_agent_spans_named
-- Keeps nothing: the same with names made out, and with the messages one by one.
CREATE TABLE IF NOT EXISTS internal_agent_spans_named
(
    StartTime DateTime64(9),
    TraceId String,
    SpanId String,
    ParentSpanId String,
    SpanName String,
    SpanKind String,
    ServiceName LowCardinality(String),
    ScopeName String,
    Tenant LowCardinality(String),
    Duration UInt64,
    StatusCode String,
    StatusMessage String,
    Own Map(LowCardinality(String), String) COMMENT 'its attributes',
    Exception Map(LowCardinality(String), String),
    Pairs Array(Tuple(Name String, Said String)),
    Attribute String,
    Value String,
    Known Bool,
    Fields Map(String, String),
    Role String,
    IsStep Bool,
    Tool String,
    Named Bool,
    AgentName String,
    AskedIn String COMMENT 'the text in which the messages are',
    Sent Array(String) COMMENT 'the messages',
    Items Array(Tuple(Item String, Earlier Bool)) COMMENT 'of a model: messages and their parts, those it was sent and those of its answer'
)
ENGINE = Null;

-- name: internal_agent_spans_named_mv
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_agent_spans_named_mv TO internal_agent_spans_named
AS WITH
    message -> arrayConcat([message], arrayFlatten(arrayMap(name -> JSONExtractArrayRaw(message, name), [
        'content', 'parts', 'tool_calls', 'toolCalls', 'blocks'])), JSONExtractArrayRaw(message, 'kwargs', 'tool_calls')) AS items_of,
    text -> if(startsWith(text, '['), JSONExtractArrayRaw(text), arrayConcat(
        [text, JSONExtractRaw(text, 'message')], JSONExtractArrayRaw(text, 'output'), JSONExtractArrayRaw(text, 'messages'),
        arrayMap(choice -> if(JSONHas(choice, 'message'), JSONExtractRaw(choice, 'message'), JSONExtractRaw(choice, 'content')),
            arrayConcat(JSONExtractArrayRaw(text, 'choices'), JSONExtractArrayRaw(text, 'candidates'),
                JSONExtractArrayRaw(text, 'generations', 1))))) AS messages_of,
    Fields['asked'] AS text_in,
    -- {"a component": {"messages": ...}}
    if(startsWith(text_in, '{') AND NOT JSONHas(text_in, 'messages'), arrayFirst(
        value -> JSONHas(value, 'messages'), arrayMap(pair -> pair.2, JSONExtractKeysAndValuesRaw(text_in))), '') AS inside,
    if(startsWith(AskedIn, '['), JSONExtractArrayRaw(AskedIn), arrayFirst(list -> notEmpty(list), [
        JSONExtractArrayRaw(AskedIn, 'messages'), JSONExtractArrayRaw(AskedIn, 'contents'), JSONExtractArrayRaw(AskedIn, 'input'),
        JSONExtractArrayRaw(AskedIn, 'prompt'), []])) AS listed
SELECT
    StartTime, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, ScopeName, Tenant, Duration, StatusCode,
    StatusMessage, SpanAttributes AS Own, Exception, Pairs, Attribute, Value, Known, Fields,
    multiIf(s.Role = 'weak agent', if(Fields['model'] = '', 'ignored', 'agent'),
        -- A known structure that names a tool is one; what stands for several tools is none.
        s.Role = 'structure' AND Known AND Fields['tool'] != '', 'tool',
        s.Role = 'tool' AND startsWith(Fields['tool'], '('), 'housekeeping',
        s.Role) AS Role,
    Role IN ('tool', 'step') AS IsStep,
    multiIf(Role NOT IN ('tool', 'step'), '', Fields['tool'] != '', Fields['tool'], Role = 'step', '', replaceRegexpOne(extract(
        if(Fields['entity'] = '', SpanName, Fields['entity']), '^(?:execute_tool |tools/call |running tool:? |[Tt]ool[.:] ?)?(.*)'),
        '\\.(__call__|_?run|_?a?call|_?a?invoke|_?execute|tool)$', '')) AS Tool,
    Fields['agent'] != '' OR (Role = 'agent' AND Attribute IN ('langfuse.observation.type', 'traceloop.span.kind')) AS Named,
    -- Of a run without an agent the outermost chain has a name.
    multiIf(Fields['agent'] != '', Fields['agent'], Role = 'agent',
        extract(SpanName, '^(?:invoke_agent |agent_run )?\\[?(.*?)\\]?(?:\\.run|\\.agent|\\.team|\\.kickoff)?$'),
        Fields['workflow'] = '' AND Role = 'structure' AND ParentSpanId = '', Fields['entity'],
        Fields['workflow']) AS AgentName,
    if(inside = '', text_in, inside) AS AskedIn,
    arrayFlatten(arrayMap(message -> if(startsWith(message, '[{'), JSONExtractArrayRaw(message), [message]), listed)) AS Sent,
    if(s.Role != 'model', [], arrayConcat(
        arrayMap(item -> (item, true), arrayFlatten(arrayMap(message -> items_of(message), Sent))),
        arrayMap(item -> (item, false), arrayFlatten(arrayMap(message -> items_of(message), arrayFlatten(arrayMap(
            text -> messages_of(text), arrayFilter(text -> match(text, '^[\\[{]'), [
                Fields['answer'], Fields['result'], Fields['called']])))))))) AS Items
FROM internal_agent_spans_said AS s
WHERE Role != 'ignored';

-- name: internal_agent_spans_read
-- Keeps nothing: the same with what was asked and what came of it.
CREATE TABLE IF NOT EXISTS internal_agent_spans_read
(
    StartTime DateTime64(9),
    TraceId String,
    SpanId String,
    ParentSpanId String,
    SpanName String,
    SpanKind String,
    ServiceName LowCardinality(String),
    ScopeName String,
    Tenant LowCardinality(String),
    Duration UInt64,
    StatusCode String,
    StatusMessage String,
    Own Map(LowCardinality(String), String),
    Exception Map(LowCardinality(String), String),
    Pairs Array(Tuple(Name String, Said String)),
    Attribute String,
    Value String,
    Known Bool,
    Fields Map(String, String),
    Role String,
    IsStep Bool,
    Tool String,
    Named Bool,
    AgentName String,
    Items Array(Tuple(Item String, Earlier Bool)),
    Asked String COMMENT 'the first message of the user',
    Message String COMMENT 'of a result that is a message, the message',
    Arguments String,
    Result String
)
ENGINE = Null;

-- name: internal_agent_spans_read_mv
-- Messages are read as JSON in any order of keys: {role, content}, {type, parts}, [role, content], serialised objects.
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_agent_spans_read_mv TO internal_agent_spans_read
AS WITH
    text -> JSONExtractString(concat('[', text, ']'), 1) AS unquoted,
    names -> arrayFirst(name -> name != '', names) AS first_of,
    part -> multiIf(startsWith(part, '"'), unquoted(part), first_of([
        JSONExtractString(part, 'text'), JSONExtractString(part, 'content')])) AS text_of_part,
    content -> multiIf(
        startsWith(content, '"'), unquoted(content),
        startsWith(content, '['), arrayStringConcat(arrayFilter(part -> part != '', arrayMap(part -> text_of_part(part),
            JSONExtractArrayRaw(content))), '\n'),
        startsWith(content, '{'), text_of_part(content),
        content) AS text_of,
    message -> lower(multiIf(
        startsWith(message, '['), JSONExtractString(message, 1),
        JSONExtractString(message, 'type') = 'constructor', JSONExtractString(message, 'id', -1),
        first_of([JSONExtractString(message, 'role'), JSONExtractString(message, 'type')]))) AS role_of,
    message -> if(startsWith(message, '['), JSONExtractRaw(message, 2), first_of([
        JSONExtractRaw(message, 'content'), JSONExtractRaw(message, 'parts'), JSONExtractRaw(message, 'blocks'),
        JSONExtractRaw(message, 'kwargs', 'content'), JSONExtractRaw(message, 'data', 'content'), JSONExtractRaw(message,
            'text')])) AS content_of,
    arrayFirst(message -> role_of(message) IN ('user', 'human', 'humanmessage'), Sent) AS user,
    -- llm.input_messages.0.message.role, gen_ai.prompt.0.role
    arrayFirst(pair -> pair.2 IN ('user', 'human') AND match(pair.1,
        '^(llm\\.input_messages|gen_ai\\.prompt)\\.\\d+\\..*role$'), Pairs).1 AS user_key,
    substring(user_key, 1, length(user_key) - 4) AS user_prefix,
    first_of([Own[concat(user_prefix, 'content')], Own[concat(user_prefix, 'contents.0.message_content.text')],
        Own[concat(user_prefix, 'contents.1.message_content.text')]]) AS user_text,
    -- Arguments and results may be wrapped: in quotes, in those of the call, in the message made of them.
    text -> multiIf(
        startsWith(text, '"'), unquoted(text),
        JSONHas(text, 'kwargs') AND JSONLength(text, 'kwargs') > 0, JSONExtractRaw(text, 'kwargs'),
        JSONHas(text, 'args') AND JSONHas(text, 'kwargs'), JSONExtractRaw(text, 'args'),
        startsWith(text, '{') AND JSONHas(text, 'input') AND JSONLength(text) = 1, if(JSONType(text, 'input') = 'String',
            JSONExtractString(text, 'input'), JSONExtractRaw(text, 'input')),
        startsWith(text, '{"input_str":'), JSONExtractString(text, 'input_str'),
        text) AS unwrapped,
    Fields['result'] AS result_in,
    multiIf(startsWith(result_in, '{"type": "tool",'), JSONExtractRaw(result_in, 'data'),
        JSONHas(result_in, 'output', 'kwargs'), JSONExtractRaw(result_in, 'output', 'kwargs'),
        JSONHas(result_in, 'output', 'content'), JSONExtractRaw(result_in, 'output'),
        JSONHas(result_in, 'messages', 1, 'content'), JSONExtractRaw(result_in, 'messages', 1), '') AS message
SELECT
    * EXCEPT (AskedIn, Sent),
    first_of([multiIf(user_text != '', user_text, user != '', text_of(content_of(user)),
        startsWith(AskedIn, '['), if(arrayExists(m -> role_of(m) != '' AND role_of(m) != 'text', Sent), '', text_of(AskedIn)),
        JSONType(AskedIn, 'args', 1) = 'String', JSONExtractString(AskedIn, 'args', 1),
        startsWith(AskedIn, '{'), first_of(arrayMap(name -> if(JSONType(AskedIn, name) = 'String', JSONExtractString(AskedIn,
            name), ''), [
            'task', 'question', 'query', 'prompt', 'user_prompt', 'input', 'message', 'text', 'description', 'goal'])),
        startsWith(AskedIn, '"'), unquoted(AskedIn),
        AskedIn), Fields['asked otherwise']]) AS Asked,
    message AS Message,
    if(IsStep, substring(unwrapped(unwrapped(Fields['arguments'])), 1, 16384), '') AS Arguments,
    first_of([if(message = '', text_of(result_in), text_of(JSONExtractRaw(message, 'content'))), result_in]) AS Result
FROM internal_agent_spans_named;

-- name: internal_agent_spans_called
-- Keeps nothing: the same with the calls of tools that are in the messages of models.
CREATE TABLE IF NOT EXISTS internal_agent_spans_called
(
    StartTime DateTime64(9),
    TraceId String,
    SpanId String,
    ParentSpanId String,
    SpanName String,
    SpanKind String,
    ServiceName LowCardinality(String),
    ScopeName String,
    Tenant LowCardinality(String),
    Duration UInt64,
    StatusCode String,
    StatusMessage String,
    Own Map(LowCardinality(String), String),
    Exception Map(LowCardinality(String), String),
    Attribute String,
    Value String,
    Known Bool,
    Fields Map(String, String),
    Role String,
    IsStep Bool,
    Tool String,
    Named Bool,
    AgentName String,
    Asked String,
    Message String,
    Arguments String,
    Result String,
    Calls Array(Tuple(Id String, Tool String, Arguments String, Earlier Bool)),
    Answers Array(Tuple(Id String, Said String, Failed Bool)),
    Used Tuple(Input UInt64, Output UInt64) COMMENT 'tokens by what a model answered'
)
ENGINE = Null;

-- name: internal_agent_spans_called_mv
-- A call and its answer are parts of a message, beside its text, or messages by themselves; or attributes, each a piece of one. What
-- has no id is known by its name and how many of that name there were.
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_agent_spans_called_mv TO internal_agent_spans_called
AS WITH
    texts -> arrayFirst(text -> text NOT IN ('', 'null', '""'), texts) AS first_of,
    (item, names) -> first_of(arrayMap(name -> JSONExtractRaw(item, name), names)) AS raw_of,
    text -> multiIf(
        startsWith(text, '"'), JSONExtractString(text),
        startsWith(text, '{') AND JSONType(text, 'value') = 'String', JSONExtractString(text, 'value'),
        startsWith(text, '[') AND JSONType(text, 1, 'text') = 'String',
        arrayStringConcat(arrayMap(part -> JSONExtractString(part, 'text'), JSONExtractArrayRaw(text)), '\n'),
        text) AS plain,
    -- {"toolRequest": {...}}, {"functionCall": {...}}: what is in there.
    item -> multiIf(
        JSONHas(item, 'function', 'name') OR JSONExtractString(item, 'type') IN ('tool_call', 'tool_use', 'tool-call', 'function_call')
            OR (JSONHas(item, 'toolName') AND (JSONHas(item, 'input') OR JSONHas(item, 'args')) AND JSONExtractString(item,
                'type') != 'tool-result'), item,
        raw_of(item, ['toolRequest', 'functionCall', 'function_call', 'toolUse'])) AS call_in,
    item -> multiIf(
        JSONExtractString(item, 'type') IN ('tool_call_response', 'tool_result', 'tool-result', 'function_call_output')
            OR (JSONHas(item, 'tool_call_id') AND NOT JSONHas(item, 'function')), item,
        JSONHas(item, 'kwargs', 'tool_call_id'), JSONExtractRaw(item, 'kwargs'),
        raw_of(item, ['toolResponse', 'functionResponse', 'function_response', 'toolResult'])) AS answer_in,
    item -> plain(raw_of(item, [
        'call_id', 'tool_call_id', 'toolCallId', 'tool_use_id', 'toolUseId', 'ref', 'id'])) AS id_of,
    -- llm.output_messages.0.message.tool_calls.0.tool_call.function.name, gen_ai.prompt.2.tool_call_id
    arrayMap(pair -> (toJSONString(map(
        'type', 'tool_call', 'id', Own[concat(pair.2, 'id')], 'name', pair.1,
        'arguments', first_of([Own[concat(pair.2, 'function.arguments')], Own[concat(pair.2, 'arguments')]]))),
        NOT match(pair.2, 'output|completion')), arrayMap(pair -> (pair.2, replaceRegexpOne(pair.1, '(function\\.)?name$', '')),
        arrayFilter(pair -> match(pair.1, 'tool_calls?\\.\\d+\\.(tool_call\\.)?(function\\.)?name$'), Pairs))) AS pieces,
    arrayMap(pair -> toJSONString(map('tool_call_id', pair.1, 'content', first_of([
        Own[concat(pair.2, 'content')], Own[concat(pair.2, 'contents.0.message_content.text')]]))),
        arrayMap(pair -> (pair.2, substring(pair.1, 1, length(pair.1) - 12)),
        arrayFilter(pair -> match(pair.1, '\\.\\d+\\.(message\\.)?tool_call_id$'), Pairs))) AS replies,
    arrayFilter(call -> call.1 != '', arrayMap(item -> (call_in(item.1), item.2), arrayConcat(Items, pieces))) AS called,
    arrayMap(call -> (id_of(call.1), first_of([JSONExtractString(call.1, 'function', 'name'), JSONExtractString(call.1, 'name'),
        JSONExtractString(call.1, 'toolName')]), plain(first_of([JSONExtractRaw(call.1, 'function', 'arguments'),
        raw_of(call.1, ['arguments', 'input', 'args'])])), call.2), called) AS calls,
    arrayFilter(item -> item != '', arrayMap(item -> answer_in(item), arrayConcat(Items.Item, replies))) AS answered,
    arrayMap(item -> (id_of(item), plain(raw_of(item, ['name'])), plain(raw_of(item, ['response', 'result', 'output', 'content'])),
        JSONExtractBool(item, 'is_error') OR JSONExtractBool(item, 'isError') OR JSONExtractString(item, 'status') = 'error'), answered) AS answers,
    first_of(arrayMap(text -> raw_of(text, ['usage', 'usageMetadata', 'usage_metadata']), [Fields['result'], Fields['answer']])) AS usage,
    names -> arrayFirst(count -> count > 0, arrayMap(name -> JSONExtractUInt(usage, name), names)) AS used
SELECT
    * EXCEPT (Items, Pairs),
    arraySlice(arrayMap((call, number) -> (if(call.1 = '', concat(call.2, '#', toString(number)), call.1), call.2,
        substring(call.3, 1, 4096), call.4), calls, arrayEnumerateUniq(calls.2)), -40) AS Calls,
    arraySlice(arrayMap((said, number) -> (if(said.1 = '', concat(said.2, '#', toString(number)), said.1), substringUTF8(said.3, 1, 1024),
        said.4 OR match(said.3, '^(?i)\\W*(error|exception|traceback)\\b')), answers, arrayEnumerateUniq(answers.2)), -40) AS Answers,
    (used(['inputTokens', 'input_tokens', 'prompt_tokens', 'promptTokens', 'promptTokenCount']),
        used(['outputTokens', 'output_tokens', 'completion_tokens', 'completionTokens', 'candidatesTokenCount'])) AS Used
FROM internal_agent_spans_read;

-- name: internal_agent_spans_mv
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_agent_spans_mv TO internal_agent_spans
AS WITH
    toUInt64OrZero(Fields['input']) + toUInt64OrZero(Fields['output']) > 0 AS counted,
    -- Exceptions that came as log records, before their spans.
    logged AS
    (
        SELECT TraceId AS Trace, SpanId AS Span, ErrorType AS Type, ErrorMessage AS Said
        FROM internal_log_events
        WHERE TraceId IN (SELECT TraceId FROM internal_agent_spans_called) AND Event = 'exception'
    )
SELECT
    if(Own['episode.id'] = '', TraceId, Own['episode.id']) AS EpisodeId,
    TraceId, SpanId, ParentSpanId, Role,
    if(Value = '', Attribute, concat(Attribute, '=', substring(Value, 1, 60))) AS Operation,
    Known,
    toUInt16OrZero(Own['episode.segment']) AS Segment,
    Own['episode.id'] != '' AS Stamped,
    SpanKind IN ('Server', 'SPAN_KIND_SERVER') AS Remote,
    SpanName,
    if(Own['episode.step.kind'] = '', 'tool_use', Own['episode.step.kind']) AS Kind,
    Tool,
    Named AND (Role = 'agent' OR (Role = 'structure' AND ParentSpanId = '')) AS Named,
    AgentName,
    if(Role IN ('agent', 'model', 'structure'), substringUTF8(Asked, 1, 1024), '') AS Task,
    Arguments,
    if(IsStep, substringUTF8(multiIf(Own['episode.step.action'] != '', Own['episode.step.action'],
        startsWith(Arguments, '{"action": "') AND JSONLength(Arguments) = 1, JSONExtractString(Arguments, 'action'),
        Arguments), 1, 256), '') AS Action,
    multiIf(Own['episode.step.success'] = 'unknown', NULL,
            Own['episode.step.success'] != '', Own['episode.step.success'] = 'true',
            StatusCode IN ('Error', 'STATUS_CODE_ERROR') OR Fields['failed'] != ''
                OR (IsStep AND startsWith(Fields['result'], '{') AND match(Fields['result'],
                    '"is_?[eE]rror":\\s*true')) OR JSONExtractString(Message, 'status') = 'error'
                OR JSONExtractString(Fields['answer'], -1, 'finish_reason') = 'error', false,
            StatusCode IN ('Ok', 'STATUS_CODE_OK'), true,
            Own['error.type'] = '') AS Success,
    if(Success, '', arrayFirst(text -> text != '', [Fields['error type'], Exception['exception.type'], logged.Type])) AS ErrorType,
    -- The first line, without the stack that some instrumentations put behind it.
    if(Success, '', substringUTF8(trimBoth(splitByRegexp('\\n|Traceback \\(most recent', multiIf(
        Exception['exception.message'] != '', Exception['exception.message'], logged.Said != '', logged.Said,
        StatusMessage != '', StatusMessage, Fields['error'] != '', Fields['error'], Result))[1]), 1, 256)) AS ErrorMessage,
    -- Of a step that failed without a result the error is what came of it.
    if(IsStep, substringUTF8(if(Result = '', ErrorMessage, Result), 1, 1024), '') AS Observation,
    StartTime,
    if(Duration >= 9223372036854775808, 0, Duration) AS DurationNs,
    Fields['provider'] AS Provider,
    Fields['model'] AS Model,
    Fields['response'] AS ResponseId,
    if(startsWith(Fields['finish'], '['), JSONExtractString(Fields['finish'], 1), Fields['finish']) AS FinishReason,
    if(Role = 'model' AND NOT counted, Used.Input, toUInt64OrZero(Fields['input'])) AS InputTokens,
    if(Role = 'model' AND NOT counted, Used.Output, toUInt64OrZero(Fields['output'])) AS OutputTokens,
    toUInt64OrZero(Fields['cache read']) AS CacheReadTokens,
    toUInt64OrZero(Fields['cache write']) AS CacheWriteTokens,
    toUInt64OrZero(Fields['reasoning']) AS ReasoningTokens,
    Calls, Answers,
    Fields['conversation'] AS ConversationId,
    ScopeName, ServiceName, Tenant
FROM internal_agent_spans_called
LEFT ANY JOIN logged ON logged.Trace = TraceId AND logged.Span = SpanId;

-- name: internal_steps_foreign_mv
-- So that a tool's span is a step as soon as it is stored. A call answered by a server is left to the span of who called;
-- what else turns out to be the same step seen twice is told apart where the whole trace is read.
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_steps_foreign_mv TO internal_steps
AS SELECT
    EpisodeId, TraceId, SpanId, ParentSpanId, Segment, toUInt32(0) AS StepIndex, Kind, Tool, Arguments, Action, Observation,
        Success, ErrorType,
    ErrorMessage, StartTime, DurationNs, InputTokens, OutputTokens, toUInt32(0) AS BatchCount, toUInt32(0) AS BatchErrors,
        AgentName,
    ServiceName, Operation AS Convention, Tenant
FROM internal_agent_spans
WHERE Role = 'tool' AND NOT (Remote AND ParentSpanId != '');
