"""How many small mistakes the tests see: mutants of Python and SQL, by seed, each on the tests of what it touches.

    python benchmarks/mutants.py                       # 50 of this tree
    python benchmarks/mutants.py --commit 445ba57      # the same draw from another commit's tree and tests
    python benchmarks/mutants.py --count 8 --seed 3 --jobs 2 --all

A mutant is one token that says something else: a comparison, `and`, a sign, a number, a constant; in SQL also an
aggregate, an order, FINAL. Tests of a Python module are those that import it, tests of a statement those that name it
or a relation that is made from it, or import a module that does; with ``--all`` every test. What survives is printed
with its place: it is either not tested, or says the same. A test that fails by itself catches everything, so the tests
should pass before.
"""

from __future__ import annotations

import argparse
import ast
import io
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import tokenize
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PYTHON = {
    "==": "!=", "!=": "==", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "+": "-", "-": "+", "*": "/", "and": "or",
    "or": "and", "True": "False", "False": "True", "in": "not in", "is": "is not", "max": "min", "min": "max",
}  # fmt: skip
SQL = {
    "=": "!=", "!=": "=", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "+": "-", "-": "+", "*": "/", "AND": "OR",
    "OR": "AND", "max": "min", "min": "max", "argMax": "argMin", "argMin": "argMax", "DESC": "ASC", "FINAL": "",
    "true": "false", "false": "true", "LEFT JOIN": "INNER JOIN", "DISTINCT": "", "greatest": "least",
}  # fmt: skip
# Comments, strings and names of parameters say nothing that is computed; `SELECT *` is no product.
_SQL_TOKEN = re.compile(
    r"--[^\n]*|'(?:[^'\\]|\\.|'')*'|\{\w+:[^{}]*\}|(?P<op><=|>=|!=|->|(?<=[\w)] )[=<>+*/-](?= [\w('{]))"
    r"|(?P<word>LEFT JOIN|\b[A-Za-z_]\w*\b)|(?P<number>\b\d+\b)"
)
_NUMBER = re.compile(r"\d+")
_STATEMENT = re.compile(r"^-- name: *(\w+)", re.MULTILINE)
_TIMEOUT_SECONDS = 1800


@dataclass(frozen=True)
class Mutant:
    """A token of a file that is replaced by another."""

    path: str
    start: int
    end: int
    text: str

    def shown(self, source: str) -> str:
        """Return the place, and what stands there instead of what."""
        line = source.count("\n", 0, self.start) + 1
        return f"{self.path}:{line}: {source[self.start : self.end]} -> {self.text or 'nothing'}"


def mutants_of(path: str, source: str) -> Iterator[Mutant]:
    """Yield the mutants of a file."""
    if path.endswith(".sql"):
        for found in _SQL_TOKEN.finditer(source):
            text = found[0]
            if found["number"]:
                yield Mutant(path, *found.span(), str(int(text) + 1))
            elif text in SQL and (found["op"] or found["word"]):
                yield Mutant(path, *found.span(), SQL[text])
        return
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        start, end = (starts[row - 1] + column for row, column in (token.start, token.end))
        if token.type == tokenize.NUMBER and _NUMBER.fullmatch(token.string):
            yield Mutant(path, start, end, str(int(token.string) + 1))
        elif token.type in (tokenize.OP, tokenize.NAME) and token.string in PYTHON:
            yield Mutant(path, start, end, PYTHON[token.string])


def parses(mutant: Mutant, source: str) -> bool:
    """Tell whether it is still a program: of `*args` or `for x in y` another token makes none."""
    if mutant.path.endswith(".sql"):
        return True
    try:
        ast.parse(source[: mutant.start] + mutant.text + source[mutant.end :])
    except SyntaxError:
        return False
    return True


def tree(commit: str, place: Path) -> None:
    """Put what git knows into a folder: of a commit, or as it is here."""
    if commit:
        packed = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(place, filter="data")
        return
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in listed.splitlines():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes((ROOT / name).read_bytes())


def readers(names: set[str], sources: dict[str, str]) -> set[str]:
    """Return these names of statements with those of the statements that read them, directly or not."""
    reads = defaultdict(set)
    for path, source in sources.items():
        if path.endswith(".sql"):
            pieces = _STATEMENT.split(source)
            for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
                for word in set(re.findall(r"\w+", body)) - {name}:
                    reads[word].add(name)
    found, new = set(names), set(names)
    while new:
        new = {reader for name in new for reader in reads[name]} - found
        found |= new
    return found


def mentions(names: set[str], sources: dict[str, str], *, imports: bool) -> set[str]:
    """Return the Python files that name one of these as a word, or import it."""
    any_of = "|".join(map(re.escape, sorted(names)))
    found = re.compile(
        rf"^ *(?:from|import) [^#\n]*\b(?:{any_of})\b" if imports else rf"\b(?:{any_of})\b", re.MULTILINE
    )
    return {path for path, source in sources.items() if path.endswith(".py") and found.search(source)}


def tests_of(mutant: Mutant, sources: dict[str, str], tests: dict[str, str]) -> list[str]:
    """Return the files of tests of what a mutant is in, else of the modules that import it, else of its room."""
    found: set[str] = set()
    modules = {mutant.path}
    if mutant.path.endswith(".sql"):
        before = [name[1] for name in _STATEMENT.finditer(sources[mutant.path], 0, mutant.start)]
        names = readers(set(before[-1:]), sources)
        if names:
            found, modules = mentions(names, tests, imports=False), mentions(names, sources, imports=False)
    known: set[str] = set()
    while modules - known:
        known |= modules
        stems = {Path(path).stem for path in modules}
        found |= mentions(stems, tests, imports=True)
        modules = set() if found else mentions(stems, sources, imports=True)
    for room in reversed(Path(mutant.path).parent.parts):
        found = found or {path for path in tests if room.strip("_")[:6] in Path(path).stem}
    return sorted(found) or ["tests"]


def caught(mutant: Mutant, sources: dict[str, str], place: Path, *, all_tests: bool, jobs: str) -> bool:
    """Run the tests on a mutant and tell whether one failed."""
    tests = {str(test.relative_to(place)): test.read_text() for test in (place / "tests").rglob("test_*.py")}
    files = ["tests"] if all_tests else tests_of(mutant, sources, tests)
    source = sources[mutant.path]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not campaign", "-n", jobs]
    paths = {"PYTHONPATH": f"{place}:{place / 'exporters'}"}
    (place / mutant.path).write_text(source[: mutant.start] + mutant.text + source[mutant.end :])
    try:
        with tempfile.TemporaryDirectory() as home:
            environ = {**paths, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": home}
            ran = subprocess.run(
                [*command, "--dist", "loadfile", *files],
                cwd=place, env=environ, check=False, capture_output=True, timeout=_TIMEOUT_SECONDS,
            )  # fmt: skip
    except subprocess.TimeoutExpired:
        return True
    finally:
        (place / mutant.path).write_text(source)
    return ran.returncode != 0


def main() -> None:
    """Draw, run, and print what survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commit", default="", help="draw from this commit, with its tests")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", default="2", help="processes of tests")
    parser.add_argument("--all", action="store_true", help="run every test on each, not only those of what it touches")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        tree(asked.commit, place)
        packages = (place / "otel_episodes", place / "exporters" / "otel_episodes_clickhouse")
        files = sorted(
            file for package in packages for suffix in ("py", "sql") for file in package.rglob(f"*.{suffix}")
        )
        sources = {str(file.relative_to(place)): file.read_text() for file in files}
        draw, seen = random.Random(asked.seed), 0
        # As many of SQL as of Python.
        kinds = [
            [mutant for path, source in sources.items() if path.endswith(kind) for mutant in mutants_of(path, source)]
            for kind in (".py", ".sql")
        ]
        for number in range(asked.count):
            mutants = kinds[number % 2]
            mutant = draw.choice(mutants)
            while not parses(mutant, sources[mutant.path]):
                mutant = draw.choice(mutants)
            found = caught(mutant, sources, place, all_tests=asked.all, jobs=asked.jobs)
            seen += found
            print(f"{'caught  ' if found else 'survived'} {mutant.shown(sources[mutant.path])}", flush=True)
        print(f"{seen} of {asked.count} caught")


if __name__ == "__main__":
    main()
