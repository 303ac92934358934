-- What kind of call a step made: each argument by where its value came from, as otel_episodes/_template.py has it. Words are compared,
-- each as a number. What was seen before a step is what steps before it observed, in the order of internal_placed_steps: steps that are
-- logged when a run is over, or imported, may all bear the same time.

-- name: internal_calls_of
-- Steps whose arguments are known by name. Where only an action was given, it is the one argument, and may be an object of them itself.
CREATE OR REPLACE VIEW internal_calls_of
AS WITH
    work AS (SELECT EpisodeId FROM internal_work(run = {run:String}, job = 'sequences', batch = {batch:UInt32}))
SELECT
    EpisodeId, cityHash64(EpisodeId, SpanId) AS StepId,
    if(s.Arguments = '' OR (startsWith(s.Arguments, '{"action": "') AND JSONLength(s.Arguments) = 1), Action, s.Arguments) AS Given,
    min(StepIndex) OVER (PARTITION BY EpisodeId) > 0 AS Counted,
    if(StepIndex > 0, Position, PositionByClock) AS At, PositionByClock AS AtByClock,
    row_number() OVER (PARTITION BY EpisodeId, Tool, Given ORDER BY At) > 1 AS Again
FROM internal_steps_placed(foreign = {foreign:Bool}) AS s
WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    AND Tool != '' AND startsWith(Given, '{') AND isValidJSON(Given);

-- name: internal_words_of
-- Where each word was first seen in a run: 1 in the task, else the place of the step that it was observed in, by both orders.
CREATE OR REPLACE VIEW internal_words_of
AS WITH
    text -> arrayMap(word -> cityHash64(word), extractAll(lowerUTF8(text), '[\\p{L}\\p{N}_]+')) AS words,
    work AS (SELECT EpisodeId FROM internal_work(run = {run:String}, job = 'sequences', batch = {batch:UInt32})),
    texts AS
    (
        SELECT EpisodeId, toUInt128(1) AS At, toUInt128(1) AS AtByClock, Task AS Text
        FROM internal_facts FINAL
        WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
        UNION ALL
        SELECT EpisodeId, Position, PositionByClock, Observation
        FROM internal_placed_steps
        WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
            AND Observation != ''
    )
SELECT EpisodeId, Word, min(At) AS SeenAt, min(AtByClock) AS SeenByClock
FROM texts
ARRAY JOIN arrayDistinct(words(Text)) AS Word
GROUP BY EpisodeId, Word;

-- name: internal_argument_words_of
-- One row per step, argument and word of its value, one where a value has no words, and one of a step without arguments.
CREATE OR REPLACE VIEW internal_argument_words_of
AS SELECT
    EpisodeId, StepId, Counted, At, AtByClock, Again, replaceRegexpAll(Argument.1, '[^\\w.-]', '_') AS Name, Argument.2 AS Raw,
    multiIf(startsWith(Raw, '"'), JSONExtractString(Raw), Raw = 'null', '', Raw) AS Text,
    extractAll(lowerUTF8(Text), '[\\p{L}\\p{N}_]+') AS Words,
    arrayExists(word -> lengthUTF8(word) >= 3, Words) AS Telling,
    if(empty(Words), [0], arrayMap(word -> cityHash64(word), Words)) AS Hashes,
    arrayJoin(Hashes) AS Word
FROM internal_calls_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool},
    low = {low:String}, high = {high:String}, foreign = {foreign:Bool})
LEFT ARRAY JOIN arraySlice(arraySort(JSONExtractKeysAndValuesRaw(Given)), 1, 20) AS Argument;

-- name: internal_templates_of
CREATE OR REPLACE VIEW internal_templates_of
AS WITH
    arguments AS
    (
        SELECT
            a.StepId AS StepId, a.Name AS Name, any(a.Again) AS CalledBefore, any(a.Raw) AS Value, any(a.Text) AS Plain,
            any(a.Telling) AND min(w.SeenAt) > 0
                AND if(any(a.Counted), max(w.SeenAt) < any(a.At), max(w.SeenByClock) < any(a.AtByClock)) AS Known,
            multiIf(
                Value IN ('true', 'false'), concat('=', Value),
                position(Plain, '[REDACTED]') > 0, 'masked',
                Known AND max(w.SeenAt) = 1, 'told',
                Known, 'seen',
                startsWith(Value, '{'), 'map',
                startsWith(Value, '['), 'list',
                Plain = '', 'none',
                match(Plain, '^[\\w .:/@+-]{1,24}$'), concat('=', Plain),
                startsWith(Value, '"'), 'text',
                'number') AS Kind
        FROM internal_argument_words_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool},
            low = {low:String}, high = {high:String}, foreign = {foreign:Bool}) AS a
        LEFT JOIN internal_words_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool},
            low = {low:String}, high = {high:String}, foreign = {foreign:Bool}) AS w
            ON w.EpisodeId = a.EpisodeId AND w.Word = a.Word
        GROUP BY a.StepId, a.Name
    )
SELECT
    StepId,
    arrayConcat(if(any(CalledBefore), ['"":"again"'], []), groupArrayIf(concat('"', Name, '":"', Kind, '"'), Value != '')) AS Kinds,
    concat('{', arrayStringConcat(arraySort(Kinds), ','), '}') AS Made
FROM arguments
GROUP BY StepId;
