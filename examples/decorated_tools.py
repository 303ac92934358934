"""An agent whose tools are decorated functions: it finds a broken Python file, mends it and checks again.

Runs offline, on files of its own: `python examples/decorated_tools.py`, then `otel-episodes episodes`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from otel_episodes import configure, episode, step


@step(action="find {pattern} in {folder.name}")
def find(folder: Path, pattern: str) -> list[str]:
    """Return the names of matching files."""
    return sorted(path.name for path in folder.glob(pattern))


@step(tool="py_compile", action="compile {path.name}", success=lambda errors: not errors)
def check(path: Path) -> list[str]:
    """Compile one file and return what is wrong with it; whether the step succeeded is judged by that."""
    done = subprocess.run([sys.executable, "-m", "py_compile", path], capture_output=True, text=True, check=False)
    return done.stderr.splitlines()[-1:]


@step(tool="edit", kind="error_handling", action="replace {old} in {path.name}")
def edit(path: Path, old: str, new: str) -> str:
    """Replace text in a file."""
    path.write_text(path.read_text().replace(old, new))
    return f"{old} -> {new}"


def run(folder: Path) -> None:
    """Make every file of a folder compile."""
    with episode(f"Make {folder.name} compile", agent="mender", task_type="debugging", language="python") as ep:
        mended = []
        for name in find(folder, "*.py"):
            if not check(folder / name):
                continue
            ep.decide("mend or give up?", options=["mend", "give up"], choice="mend", confidence=0.9)
            edit(folder / name, "def broken(:", "def broken():")
            check(folder / name)
            mended.append(name)
        ep.milestone("everything compiles", f"{len(mended)} mended")
        ep.succeed(artifacts=mended)


if __name__ == "__main__":
    configure(service_name="examples")
    with tempfile.TemporaryDirectory() as name:
        project = Path(name) / "project"
        project.mkdir()
        (project / "good.py").write_text("def good():\n    return 1\n")
        (project / "bad.py").write_text("def broken(:\n    return 2\n")
        run(project)
