"""Statements that try to get out of the store, at random: places to reach, names for them, shapes to hide them in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

# {p} is a file that exists, {u} an address that listens, {h} its host and port, {o} a file that must not come to be.
FUNCTIONS = (
    "file('{p}')", "FILE('{p}')", "`file`('{p}')", '"file"(\'{p}\')', "file(concat('{p}', ''))", "file($x${p}$x$)",
    "arrayMap(file, ['{p}'])[1]", "arrayMap(x -> file(x), ['{p}'])[1]", "arrayFold((a, x) -> file(x), ['{p}'], '')",
    "arrayFilter(x -> file(x) != '', ['{p}'])[1]", "arrayFirst(x -> notEmpty(file(x)), ['{p}'])",
    "mapApply((k, v) -> (k, file(v)), map('a', '{p}'))['a']", "if(1, file('{p}'), '')", "file('{p}', 'none')",
    "CASE WHEN 1 THEN file('{p}') END", "toString(tuple(file('{p}')).1)", "arraySort(x -> file(x), ['{p}'])[1]",
    "hasColumnInTable('{h}', 'default', '', 'system', 'one', 'dummy')", "catboostEvaluate('{p}', 1)",
    "aiGenerate('{u}', 'x')", "dictGet('{p}', 'a', 1)", "joinGet('{p}', 'a', 1)", "reverseDNSQuery('{h}')",
    "(SELECT any(l) FROM {t})", "arrayElement((SELECT groupArray(l) FROM {t}), 1)", "'a' IN (SELECT l FROM {t})",
    "1 IN `{p}`", "toString(EXISTS(SELECT 1 FROM {t}))", "arrayReduce('file', ['{p}'])", "evalMLMethod('{p}', 1)",
    "initializeAggregation('file', '{p}')", "getServerSetting('path')", "getMacro('x')", "showCertificate()",
)  # fmt: skip
TABLES = (
    "file('{p}', 'LineAsString', 'l String')", "file('{p}', LineAsString, 'l String')", "`{p}`", "'{p}'",
    "default.`{p}`", "url('{u}', 'LineAsString', 'l String')", "URL('{u}', 'LineAsString', 'l String')",
    "s3('{u}/b/x', 'LineAsString', 'l String')", "gcs('{u}/b/x', 'LineAsString', 'l String')",
    "remote('{h}', system.one)", "remoteSecure('{h}', system.one)", "cluster('default', url('{u}'))",
    "mysql('{h}', 'a', 'b', 'c', 'd')", "postgresql('{h}', 'a', 'b', 'c', 'd')", "redis('{h}', 'k', 'k String')",
    "mongodb('{h}', 'a', 'b', 'c', 'd', 'l String')", "sqlite('{p}', 't')", "hdfs('hdfs://{h}/x', 'CSV', 'l String')",
    "executable('cat', 'LineAsString', 'l String')", "python('os')", "iceberg('{u}/b/x')", "deltaLake('{u}/b/x')",
    "loop(file('{p}', 'LineAsString', 'l String'))", "view(SELECT * FROM file('{p}', 'LineAsString', 'l String'))",
    "azureBlobStorage('{u}', 'c', 'x', 'a', 'a')", "urlCluster('default', '{u}', 'LineAsString', 'l String')",
    "icebergLocal('{p}')", "arrowstream('{p}')", "filesystem('{p}')", "jdbc('{u}', 'a', 'b')", "odbc('{u}', 'a', 'b')",
    "merge('default', '{p}')", "eval('SELECT * FROM file(''{p}'')')", "prometheusQuery('{u}', 'x')",
    "fileCluster('default', '{p}', 'LineAsString', 'l String')", "bigquery('{u}', 'a', 'b')",
    *(f"{table}('x UInt8, l String {how} file(''{{p}}'')'{rest})"
      for table, rest in (("values", ", 1"), ("generateRandom", ""), ("null", ""), ("VALUES", ", (1)"))
      for how in ("ALIAS", "DEFAULT", "MATERIALIZED", "EPHEMERAL")),
    "values(concat('l String ALIAS fi', 'le(''{p}'')'), 1)", "hudi('{u}/b/x')",
    "format(JSONEachRow, 'l String DEFAULT file(''{p}'')', '{}')",
    "format(Values, $$(file('{p}'))$$)", "format(Values, 'x UInt8', $$((SELECT 1 FROM url('{u}', CSV, 'a String')))$$)",
    "viewIfPermitted(SELECT l FROM nothing ELSE file('{p}', 'LineAsString', 'l String'))", "paimonLocal('{p}')",
    "icebergLocalCluster('default', '{p}')", "deltaLakeLocal('{p}')", "ytsaurus('{u}', 'a', 'b')", "cosn('{u}/b/x')",
    "timeSeriesSelector('{p}', 'x', 'y', 1, 2)", "fuzzQuery('SELECT file(''{p}'')')", "merge(REGEXP('.*'), '.*csv')",
    "mergeTreeIndex('default', '{p}')", "dictionary('{p}')",
)  # fmt: skip
AROUND_A_FUNCTION = (
    "SELECT {f} AS l", "SELECT 1 WHERE {f} != ''", "SELECT count() HAVING any({f}) != ''", "SELECT 1 ORDER BY {f}",
    "SELECT 1 GROUP BY {f}", "WITH {f} AS x SELECT x", "WITH x AS (SELECT {f} AS y) SELECT y FROM x",
    "SELECT * FROM (SELECT {f} AS y)", "SELECT 1 UNION ALL SELECT length({f})", "SELECT 1 EXCEPT SELECT length({f})",
    "SELECT a FROM (SELECT 1 AS a) AS s JOIN (SELECT {f} AS b) AS t ON 1", "EXPLAIN SELECT {f}",
    "EXPLAIN QUERY TREE SELECT {f}", "EXPLAIN PIPELINE header = 1 SELECT {f}", "EXPLAIN SYNTAX SELECT {f}",
    "DESCRIBE (SELECT {f} AS y)", "SELECT x FROM numbers(1) ARRAY JOIN [{f}] AS x", "SELECT ({f} AS a), a",
    "SELECT sum(length({f})) OVER ()",
    "SELECT number FROM numbers(2) ORDER BY number WITH FILL INTERPOLATE (number AS length({f}))",
    "SELECT * REPLACE({f} AS number) FROM numbers(1)", "SELECT 'x' AS `a'b`, {f} AS `c'd`",
    "SELECT 1 AS `it``s '`, {f} AS \"q''\"", "SHOW TABLES WHERE {f} != name", "SELECT 1 LIMIT length({f})",
    "SELECT /* {{ */ {f} -- }}\n", "SELECT 1 AS `a\n Function count`, {f}", "SELECT $$'$$, {f}, $$'$$",
    "WITH x -> {f} AS count SELECT count(1)", "WITH (x) -> {f} AS g SELECT g('a')", "SELECT {f} FORMAT CSV",
    "SELECT {f} SETTINGS readonly = 0", "SELECT * APPLY(x -> {f}) FROM numbers(1)", "((SELECT {f}))",
    "SELECT quantile(0.5)(length({f}))", "SELECT 1 QUALIFY {f} != ''", "SELECT DISTINCT ON ({f}) 1",
    "SELECT number FROM numbers(2) ORDER BY number WITH FILL STALENESS length({f})", "SELECT 1 LIMIT 1 BY {f}",
    "SELECT sum(number) OVER (ROWS BETWEEN length({f}) PRECEDING AND CURRENT ROW) FROM numbers(2)",
    "SELECT sum(number) OVER w FROM numbers(2) WINDOW w AS (PARTITION BY {f})", "SELECT {f}::String",
    "SELECT count(*) FILTER (WHERE {f} != '')", "SELECT 1 GROUP BY GROUPING SETS (({f}))",
    "SELECT any({f}) RESPECT NULLS",
    "SELECT * FROM (VALUES ({f}))", "SELECT 1 FROM numbers(1) PREWHERE {f} != ''", "SELECT TRIM(BOTH {f} FROM 'a')",
    "SELECT INTERVAL length({f}) DAY", "SELECT EXTRACT(YEAR FROM toDate({f}))", "SELECT 'a' LIKE {f}",
    "SELECT 1 = ANY (SELECT length({f}))", "WITH x AS MATERIALIZED (SELECT {f} AS y) SELECT y FROM x",
    "SELECT * FROM numbers(1) PASTE JOIN (SELECT {f})", "SELECT groupConcat({f})(1)", "EXPLAIN ANALYZE SELECT {f}",
    "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT {f}))",
    "SELECT * FROM mergeTreeAnalyzeIndexes('default', 'otel_traces', {f} != '')",
)  # fmt: skip
APPLIED = (
    "SELECT * APPLY {n} FROM (SELECT '{p}' AS a)", "SELECT COLUMNS('a') APPLY({n}) FROM (SELECT '{p}' AS a)",
    "SELECT * EXCEPT(b) APPLY toString APPLY {n} FROM (SELECT '{p}' AS a, 1 AS b)",
    "SELECT s.* APPLY `{n}` FROM (SELECT '{p}' AS a) AS s", "SELECT COLUMNS(a) APPLY {n} FROM (SELECT '{p}' AS a)",
    "WITH y AS (SELECT '{p}' AS a) SELECT * APPLY\t{n} FROM y", "SELECT arrayMap({n}, ['{p}'])",
    "SELECT * APPLY(y -> {n}(y)) FROM (SELECT '{p}' AS a)", "SELECT arrayMap(`{n}`, ['{p}'])",
)  # fmt: skip
AROUND_A_TABLE = (
    "SELECT * FROM {t}", "DESCRIBE {t}", "DESCRIBE TABLE {t}", "EXPLAIN SELECT * FROM {t}", "SELECT count() FROM {t}",
    "WITH x AS (SELECT * FROM {t}) SELECT * FROM x", "SELECT * FROM numbers(1) AS n, {t}", "FROM {t} SELECT *",
    "SELECT 1 IN (SELECT * FROM {t})", "SELECT * FROM (SELECT * FROM {t}) LIMIT 1", "SELECT (SELECT any(l) FROM {t})",
    "SELECT 1 UNION DISTINCT SELECT 2 FROM {t}", "SELECT * FROM view(SELECT * FROM {t})", "SELECT * FROM loop({t})",
    "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT * FROM {t}))", "EXPLAIN ESTIMATE SELECT * FROM {t}",
    "EXPLAIN AST SELECT * FROM {t}", "SELECT * FROM {t} FINAL SAMPLE 1", "EXISTS TABLE {t}", "SHOW CREATE TABLE {t}",
    "SHOW COLUMNS FROM {t}", "SELECT * FROM cluster('default', {t})", "EXPLAIN TABLE OVERRIDE {t} PARTITION BY 1",
    "SELECT * FROM numbers(1) AS a ASOF JOIN {t} AS b ON 1", "SELECT * FROM {t} |> SELECT 1",
)  # fmt: skip
WRITES = (
    "SELECT 'x' INTO OUTFILE '{o}'", "SELECT 'x' INTO OUTFILE '{o}' APPEND", "SELECT 'x' INTO OUTFILE '{o}' TRUNCATE",
    "SELECT 'x' INTO OUTFILE '{o}' AND STDOUT FORMAT CSV", "SELECT 'x' INTO/**/OUTFILE $${o}$$ COMPRESSION 'gzip'",
    "SELECT 'x' AS `'`, '' AS y, 'z' AS z INTO OUTFILE '{o}' APPEND", "SHOW TABLES INTO OUTFILE '{o}'",
    "(SELECT 1 UNION ALL SELECT 2) INTO -- x\n OUTFILE '{o}'", "DESCRIBE numbers(1) INTO OUTFILE '{o}'",
    "EXPLAIN SELECT 1 INTO OUTFILE '{o}' FORMAT TSV", "WITH 1 AS x SELECT x INTO OUTFILE '{o}' SETTINGS s = 1",
    "INSERT INTO FUNCTION file('{o}', 'CSV', 'a Int') SELECT 1", "EXISTS TABLE x INTO OUTFILE '{o}'",
    "SELECT 1 AS INTO, 2 AS OUTFILE INTO OUTFILE '{o}'", "INSERT INTO FUNCTION url('{u}', 'CSV', 'a Int') SELECT 1",
    "BACKUP DATABASE default TO File('{o}')", "CREATE TABLE x (a Int) ENGINE = File(CSV, '{o}')",
    "CREATE TABLE x (l String) ENGINE = URL('{u}', CSV)",
    "CREATE DICTIONARY x (l String) PRIMARY KEY l SOURCE(FILE(path '{p}' format 'CSV')) LAYOUT(FLAT())",
    "CREATE FUNCTION f AS x -> file(x)",
    "CREATE DATABASE x ENGINE = Filesystem('{o}')", "SELECT 1; SELECT file('{p}')", "SELECT 1 PARALLEL WITH SELECT 2",
    "COPY (SELECT 1) TO '{o}'", "SYSTEM INSTRUMENT ADD x", "SYSTEM START LISTEN HTTP", "EXECUTE AS default SELECT 1",
    "ATTACH TABLE x FROM '{p}' (a String) ENGINE = File(CSV)", "RESTORE DATABASE default FROM File('{p}')",
    "CREATE NAMED COLLECTION x AS url = '{u}'", "CREATE VIEW x AS SELECT file('{p}') AS l",
    "EXPLAIN INSERT INTO FUNCTION url('{u}', CSV, 'a String') SELECT 1",
    "CREATE TABLE x ENGINE = Executable('cat', CSV)",
    "EXPLAIN PIPELINE INSERT INTO FUNCTION file('{o}', CSV, 'a Int') SELECT 1",
    "SELECT 1 INTO OUTFILE '{o}' SETTINGS a = 1",
    "CREATE TABLE x (a Int DEFAULT length(file('{p}'))) ENGINE = Memory",
    "BACKUP TABLE otel_traces TO S3('{u}/x', 'a', 'a')",
)  # fmt: skip
NAMES = ("file", "FILE", "file", "aiGenerate", "hasColumnInTable", "url", "catboostEvaluate")


@dataclass(frozen=True)
class Places:
    """Where statements try to get to."""

    present: str
    url: str
    host: str
    absent: tuple[str, ...]


def statement(dice: random.Random, places: Places) -> str:
    """Return a statement that tries to get out."""
    kind = dice.choices(("function", "table", "applied", "write"), (5, 4, 2, 2))[0]
    if kind == "function":
        return _spelled(dice, dice.choice(AROUND_A_FUNCTION).replace("{f}", expression(dice, places)))
    if kind == "table":
        return _spelled(dice, dice.choice(AROUND_A_TABLE).replace("{t}", _filled(dice, dice.choice(TABLES), places)))
    text = dice.choice(APPLIED if kind == "applied" else WRITES)
    return _spelled(dice, _filled(dice, text, places))


def expression(dice: random.Random, places: Places) -> str:
    """Return an expression that tries to get out."""
    table = dice.choice(TABLES)
    return _filled(dice, dice.choice(FUNCTIONS).replace("{t}", table), places)


def _filled(dice: random.Random, text: str, places: Places) -> str:
    for mark, value in (
        ("{p}", places.present), ("{u}", places.url), ("{h}", places.host), ("{o}", dice.choice(places.absent)),
        ("{n}", dice.choice(NAMES)),
    ):  # fmt: skip
        text = text.replace(mark, value)
    return text


def _spelled(dice: random.Random, text: str) -> str:
    """Write a statement another way that the engine reads alike."""
    if dice.random() < 0.3:
        text = text.replace(" ", dice.choice(("\n", "\t", " /**/ ", " -- '\n", "  ", " /* ` */ ")), dice.randint(1, 4))
    if dice.random() < 0.2:
        text = text.replace("SELECT", dice.choice(("select", "SeLeCt")))
    if dice.random() < 0.1:
        text = dice.choice(("/* x */ ", "-- x\n", "#! x\n", "(")) + text + (")" if text.startswith("(") else "")
    if dice.random() < 0.1:
        text += dice.choice((";", " -- x", " /* ' */", "\n"))
    return text
