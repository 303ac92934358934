"""What a question to the store may be made of: the first wall around SQL that is not ours.

A statement is allowed for what the engine's own parser says is in it, not refused for words: its syntax tree (EXPLAIN
AST, which runs nothing) may hold only the kinds of node that a question is made of, and functions from a list of
harmless ones, ``sql/harmless_functions.txt``. What the tree does not show (the function of an APPLY, the condition of
a SHOW, an expression in a text that describes columns) is refused, or has to fit a grammar as a whole. Behind this wall
stand the engine's read-only mode with its limits, and for the embedded engine the kernel: see `confined_sql`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Protocol

from otel_episodes_clickhouse.errors import QueryError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NODE: Final = re.compile(r" *(?P<kind>[A-Za-z:]+)(?: (?P<rest>.*))?", re.DOTALL)
_CHILDREN: Final = re.compile(r" \(children \d+\)\Z")
_ALIAS: Final = re.compile(r" \(alias (.*)\)\Z", re.DOTALL)
_WORD: Final = re.compile(r"\w+")
# Of these a question is made; none of them does anything, whatever it is given.
_QUESTION: Final = frozenset((
    "SelectWithUnionQuery", "SelectIntersectExceptQuery", "SelectQuery", "ExpressionList", "Subquery", "WithElement",
    "TablesInSelectQuery", "TablesInSelectQueryElement", "TableExpression", "TableIdentifier", "TableJoin", "ArrayJoin",
    "SampleRatio", "Identifier", "Literal", "Function", "Asterisk", "QualifiedAsterisk", "ColumnsRegexpMatcher",
    "ColumnsListMatcher", "QualifiedColumnsRegexpMatcher", "QualifiedColumnsListMatcher", "ColumnsTransformerList",
    "ColumnsExceptTransformer", "ColumnsReplaceTransformer", "ColumnsReplaceTransformer::Replacement",
    "OrderByElement", "InterpolateElement", "WindowDefinition", "WindowListElement", "Collation",
))  # fmt: skip
_EXPLAINED: Final = frozenset((
    "EXPLAIN", "EXPLAIN AST", "EXPLAIN SYNTAX", "EXPLAIN QUERY TREE", "EXPLAIN PIPELINE", "EXPLAIN ESTIMATE",
))  # fmt: skip
_NAME: Final = r"(?:\w+|`[\w$ -]*`)(?:\.(?:\w+|`[\w$ -]*`))?"
_STRING: Final = r"'(?:[^'\\]|\\.)*'"
# Questions about the store itself, whose trees show too little: as the engine writes them, from their first letter to
# their last.
_CATALOGUE: Final = re.compile(
    rf"SHOW (?:(?:FULL )?(?:TABLES|COLUMNS|INDEX|INDEXES|INDICES|KEYS|DICTIONARIES)|DATABASES|FUNCTIONS|SETTINGS"
    rf"|PROCESSLIST|GRANTS|ENGINES)(?: FROM {_NAME})?(?: FROM {_NAME})?(?: (?:NOT )?I?LIKE {_STRING})?(?: LIMIT \d+)?"
    rf"|SHOW CREATE (?:TABLE |VIEW |DATABASE |DICTIONARY )?{_NAME}"
    rf"|EXISTS (?:TEMPORARY )?(?:TABLE |VIEW |DATABASE |DICTIONARY )?{_NAME}",
    re.DOTALL,
)
_READS: Final = frozenset(("SELECT", "WITH", "FROM", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS"))
_SUFFIXES: Final = (
    "If", "Array", "Map", "State", "SimpleState", "Merge", "ForEach", "Distinct", "OrDefault", "OrNull", "Resample",
    "ArgMin", "ArgMax", "Null", "Tuple",
)  # fmt: skip
_UNKNOWN_FUNCTION: Final = 46
# What a question to the embedded engine may take: seconds, rows of the answer, bytes of memory, of the answer and of
# temporary files.
LIMITS: Final = {
    "max_execution_time": 300,
    "max_memory_usage": 4 << 30,
    "max_result_rows": 5_000_000,
    "max_result_bytes": 256 << 20,
    "max_temporary_data_on_disk_size_for_query": 8 << 30,
}
_LIMITED: Final = re.compile(r"\bCode: (?:159|241)\.")
_TOO_DEEP: Final = "maximum recursion depth exceeded"
_ALLOWS: Final = "`otel-episodes sql --write` allows it"


class Asking(Protocol):
    """What a check needs of a store."""

    def query_named(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run a statement of ours that returns rows."""
        ...

    def syntax_tree(self, text: str, parameters: Mapping[str, Any]) -> list[str]:
        """Return the lines of a statement's syntax tree, with these parameters in their places."""
        ...


class RefusedError(QueryError):
    """A statement that the engine would take, and that is not only a question."""


@dataclass(frozen=True)
class Known:
    """Names in small letters: of the engine's functions that are not in the list, and of the store's own views."""

    functions: frozenset[str]
    table_functions: frozenset[str]
    views: frozenset[str]

    @classmethod
    def ask(cls, store: Asking) -> Known:
        """Ask the engine."""
        names = {row["Kind"]: set(row["Names"]) for row in store.query_named("known_functions")}
        functions, table_functions = names["function"], names["table function"]
        return cls(
            frozenset(name for name in functions if not is_harmless(name)),
            frozenset(table_functions - _harmless()["table functions"]),
            frozenset(names["view"] - functions - table_functions),
        )


def check(store: Asking, text: str, parameters: Mapping[str, Any]) -> None:
    """Raise `QueryError` for a statement that is not only a question to the tables of the store."""
    plain = _one_statement(store, text)
    try:
        _check_question(store, text, plain, parameters)
    except RefusedError as error:
        raise QueryError(f"{error}: {_ALLOWS}") from None


def _check_question(store: Asking, text: str, plain: str | None, parameters: Mapping[str, Any]) -> None:
    if plain is not None and _CATALOGUE.fullmatch(plain):
        return
    word = re.split(r"[\s(]", (plain or text).lstrip("( \n\t"), maxsplit=1)[0].upper()
    if word not in _READS:
        raise RefusedError(f"{word} is not a question, and this is read-only")
    if word in ("SHOW", "EXISTS"):
        raise RefusedError(f"this {word} says more than is known to be harmless: ask system.tables or system.columns")
    check_tree(store.syntax_tree(text, parameters), Known.ask(store), select=False)


def limited(error: StoreError) -> QueryError | None:
    """Return what to say of a question that took more than it may; None for another error."""
    if _TOO_DEEP in str(error):
        return QueryError("the statement or its answer is nested too deeply")
    if _LIMITED.search(str(error)) is None:
        return None
    return QueryError(f"{error}: ask for less, or for fewer rows at once")


def check_select(store: Asking, text: str) -> None:
    """Raise `QueryError` for anything but one SELECT that only asks the tables of the store."""
    _one_statement(store, text)
    check_tree(store.syntax_tree(text, {}), Known.ask(store), select=True)


def check_tree(lines: Iterable[str], known: Known, *, select: bool) -> None:
    """Raise `QueryError` for what is in the lines of EXPLAIN AST and not known to be harmless.

    A name with a line break in it adds lines of its own, which can only make a statement be refused: every node's own
    line begins with its kind.
    """
    tree = list(lines)
    top = tree[0].partition(" ")[0] if tree else ""
    if top not in ({"SelectWithUnionQuery"} if select else {"SelectWithUnionQuery", "DescribeQuery", "Explain"}):
        raise RefusedError(f"{top or 'nothing'} is not a question, and this is read-only")
    if top == "Explain":
        explained = _CHILDREN.sub("", tree[0]).removeprefix("Explain ")
        if explained not in _EXPLAINED:
            raise RefusedError(f"{explained} is not known to be harmless")
        if len(tree) > 1 and tree[1] == " Set":
            del tree[1]
        _check_output(tree, "SelectWithUnionQuery")
    else:
        _check_output(tree, "ExpressionList" if top == "SelectWithUnionQuery" else "TableExpression")
    lambdas = _lambdas(tree) - known.table_functions - known.functions
    for before, line in pairwise(tree):
        if before.lstrip().startswith("TableExpression"):
            _check_table(line, known)
        else:
            _check_node(line, known.views | lambdas, known.functions)


def _check_output(tree: list[str], only: str) -> None:
    """Refuse what stands beside the question itself: INTO OUTFILE, FORMAT, SETTINGS."""
    beside = [line.strip() for line in tree[1:] if line[:1] == " " and line[1:2] != " "]
    for node in [line for line in beside if not re.match(rf"{only}\b", line)]:
        if node.startswith("Literal"):
            raise RefusedError(
                "INTO OUTFILE writes a file, and this is read-only: redirect the output of SELECT instead"
            )
        if node.startswith("Identifier"):
            raise RefusedError("FORMAT is not taken here: use --json, or read the rows")
        raise RefusedError(f"{node.partition(' ')[0].upper()} is not taken here: ask without it")


def _check_table(line: str, known: Known) -> None:
    """Refuse a table function that is not in the list of those; a function of the same name may be harmless."""
    kind, name = _parts(line)
    if kind == "Function" and name.lower() not in known.views | _harmless()["table functions"]:
        raise RefusedError(f"{name}() is not known to be harmless as a table: it may reach outside of the store")
    if kind != "Function":
        _check_node(line, known.views, known.functions)


def _parts(line: str) -> tuple[str, str]:
    """Return the kind of a node, empty for what is none, and its name."""
    found = _NODE.fullmatch(line)
    return (found["kind"], _ALIAS.sub("", _CHILDREN.sub("", found["rest"] or ""))) if found else ("", "")


def _check_node(line: str, own: frozenset[str], outside: frozenset[str]) -> None:
    kind, name = _parts(line)
    if kind not in _QUESTION:
        raise RefusedError(_refusal(kind, line))
    if kind == "SelectWithUnionQuery" and not line.endswith(" (children 1)"):
        raise RefusedError("INTO OUTFILE, FORMAT and SETTINGS are not taken inside a question")
    if kind == "Function" and not (name.lower() in own or is_harmless(name)):
        raise RefusedError(f"{name}() is not known to be harmless: it may reach outside of the store")
    # Where a function is wanted, as in arrayMap(file, ...), its bare name is one.
    if kind == "Identifier" and name.lower() in outside:
        raise RefusedError(f"{name} is a function that reaches outside of the store: call a column something else")
    # Behind IN the name of a table is an identifier as any other.
    if kind in ("TableIdentifier", "Identifier") and re.search(r"[/\\]|://", name):
        raise RefusedError(f"{name} is a file or an address, not a table of the store")


def _refusal(kind: str, line: str) -> str:
    if kind == "ColumnsApplyTransformer":
        return "APPLY does not say which function it calls: write the calls out"
    if kind == "Set":
        return "SETTINGS is not taken here: ask without it"
    return f"{kind or line.strip()} is not known to be harmless"


def is_harmless(name: str) -> bool:
    """Return True if a function of that name, perhaps with the suffixes of aggregate functions, is a harmless one."""
    if name.lower() in _harmless()["functions"]:
        return True
    for suffix in _SUFFIXES:
        if name.endswith(suffix) and len(name) > len(suffix):
            return is_harmless(name.removesuffix(suffix))
    return False


@cache
def _harmless() -> dict[str, frozenset[str]]:
    """Return the names in small letters by kind: functions, table functions."""
    file = resources.files("otel_episodes_clickhouse") / "sql" / "harmless_functions.txt"
    _, *parts = re.split(r"^# (Functions|Table functions)\.$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    kinds, names = parts[::2], parts[1::2]
    return {kind.lower(): frozenset(text.lower().split()) for kind, text in zip(kinds, names, strict=True)}


def _lambdas(tree: list[str]) -> frozenset[str]:
    """Return the names that the statement itself gives to functions, in small letters: WITH x -> x + 1 AS f."""
    found = (re.fullmatch(r" *Function lambda \(alias (\w+)\) \(children \d+\)", line) for line in tree)
    return frozenset(one[1].lower() for one in found if one)


def _one_statement(store: Asking, text: str) -> str | None:
    """Return the one statement as the engine writes it; None on a server before 23.10, which cannot say."""
    try:
        return str(store.query_named("formatted", {"text": text})[0]["Text"])
    except QueryError as error:
        if error.code == _UNKNOWN_FUNCTION and "formatQuerySingleLine" in str(error):
            return None
        # The engine speaks of our question about the statement; the user asked only the statement.
        raise QueryError(str(error).partition(": In scope ")[0], code=error.code) from error
