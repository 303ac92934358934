"""docs/how-to/examples.md: its programs are those in examples/, and its sessions are what they print.

``python tests/support/examples_page.py`` writes the page anew: the programs as they are, the sessions as they go.
Prose, commands and their order are the page's own. An id in a command stands for the episode in the same place of what
was printed before it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "examples.md"
PROGRAM = re.compile(
    r"(\[`(examples/[\w.]+)`\]\([^)]*\)[^`]*?\n\n```(?:py|bash)\n)(.*?)(^```$)", re.MULTILINE | re.DOTALL
)
SESSION = re.compile(r"(^```console\n)(.*?)(^```$)", re.MULTILINE | re.DOTALL)
_ID = re.compile(r"\b[0-9a-f]{8}\b")
# What differs from run to run, and what stands for it when two sessions are compared.
_VOLATILE = (
    (re.compile(r"localhost:\d+|127\.0\.0\.1:\d+"), "ADDRESS"),
    (re.compile(r"\b(?:[0-9a-f]{32}|[0-9a-f]{16}|[0-9a-f]{8})\b"), "ID"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b|\b\d\d:\d\d\b"), "WHEN"),
    (re.compile(r"(?:\b\d+ m )?\b\d+(?:\.\d+)? m?s\b"), "TIME"),
    (re.compile(r"\b\d+(?:\.\d+){1,}\b"), "VERSION"),
    (re.compile(r"[▏▎▍▌▋▊▉█]+"), ""),
    (re.compile(r"\s+"), " "),
    # Which of several threads is first.
    (re.compile(r"\bhash \d+\.txt"), "hash FILE"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "DIGEST"),
)


def stable(session: str) -> list[str]:
    """Return the lines of a session without what differs from run to run."""
    lines = []
    for line in session.splitlines():
        for volatile, stands in _VOLATILE:
            line = volatile.sub(stands, line)  # noqa: PLW2901  # step by step
        if line.strip():
            lines.append(line.strip())
    return lines


def go_through(session: str, **environ: str) -> str:
    """Run the commands of a session, one after the other in an empty home, and return it as it went."""
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("OTEL_")},
            "OTEL_EPISODES_HOME": home, "COLUMNS": "100", "TZ": "UTC", "PYTHONUTF8": "1", "LC_ALL": "C.UTF-8",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            **environ,
        }  # fmt: skip
        ids: dict[str, str] = {}
        went = []
        for part in re.split(r"^(?=\$ )", session, flags=re.MULTILINE)[1:]:
            line, _, printed_before = part.partition("\n")
            command = _ID.sub(lambda found: ids.get(found[0], found[0]), line.removeprefix("$ "))
            done = subprocess.run(
                ["bash", "-c", command], cwd=ROOT, env=environment, text=True, check=False, timeout=300,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            printed = "".join(text.rstrip() + "\n" for text in done.stdout.splitlines())
            ids.update(zip(_ID.findall(printed_before), _ID.findall(printed), strict=False))
            went.append(f"$ {command}\n{printed}")
        return "".join(went)


def renewed(page: str, **environ: str) -> str:
    """Return the page with its programs and sessions as they are now."""
    page = PROGRAM.sub(lambda found: found[1] + (ROOT / found[2]).read_text() + found[4], page)
    return SESSION.sub(lambda found: found[1] + go_through(found[2], **environ) + found[3], page)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(), OTEL_EXPORTER_OTLP_ENDPOINT=sys.argv[1] if sys.argv[1:] else ""))
