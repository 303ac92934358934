-- Which tasks of the past are like this one?

-- name: similar_tasks
-- By words and pairs of neighbouring words (of writing without spaces, pairs of characters): BM25 (Robertson et al. 1994) with k1 1.2 and
-- b 0.75, and of the best 200 also the engine's distance of n-grams. Where less than three tenths of what the words weigh is found in a
-- task, it is not like it at all. What went well comes first among equals, and what is recent.
WITH
    text -> extractAll(lowerUTF8(text), '[\\p{L}\\p{N}_]+') AS words,
    text -> extractAll(text, '[\\p{Han}\\p{Hiragana}\\p{Katakana}\\p{Thai}]') AS signs,
    parts -> arrayMap((a, b) -> cityHash64(a, b), arrayPopBack(parts), arrayPopFront(parts)) AS pairs,
    text -> arrayConcat(arrayMap(word -> cityHash64(word), words(text)), pairs(words(text)), pairs(signs(text))) AS tokens,
    arrayDistinct(tokens({text:String})) AS asked,
    known AS
    (
        SELECT *, tokens(Task) AS Tokens, length(Tokens) AS Length, arrayMap(token -> countEqual(Tokens, token), asked) AS Found
        FROM tasks
        WHERE ({domain:String} = '' OR Domain = {domain:String}) AND Tenant = {tenant:String}
    ),
    stats AS
    (
        SELECT
            avg(Length) AS MeanLength, sum(Successes) / sum(Episodes) AS Rate,
            arrayMap(n -> log(1 + (count() - n + 0.5) / (n + 0.5)), sumForEach(arrayMap(n -> toUInt64(n > 0), Found))) AS Weights
        FROM known
    ),
    matched AS
    (
        SELECT
            *,
            arraySum((weight, n) -> weight * n * 2.2 / (n + 1.2 * (0.25 + 0.75 * Length / MeanLength)), Weights, Found) AS Bm25,
            arraySum((weight, n) -> if(n > 0, weight, 0), Weights, Found) / arraySum(Weights) AS Covered
        FROM known
        CROSS JOIN stats
        WHERE Covered >= 0.3
        ORDER BY Bm25 DESC
        LIMIT 200
    )
SELECT
    Task, toString(Domain) AS Domain, Episodes, Successes, Best, LastFailed, toUnixTimestamp64Nano(LastSeen) AS LastSeen,
    0.7 * Bm25 / max(Bm25) OVER () + 0.3 * (1 - ngramDistanceCaseInsensitiveUTF8(Task, {text:String})) AS Likeness,
    Likeness * (1 + 0.2 * (Successes + 5 * Rate) / (Episodes + 5))
        * (0.9 + 0.1 * exp2(-greatest(0, dateDiff('second', toDateTime(matched.LastSeen), now())) / 2592000)) AS Score
FROM matched
WHERE {outcome:String} = 'any' OR ({outcome:String} = 'success' AND Successes > 0) OR ({outcome:String} = 'failure' AND LastFailed != '')
ORDER BY Score DESC, Task
LIMIT {limit:UInt32};
