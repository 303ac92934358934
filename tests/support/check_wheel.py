"""Build the wheel, install it into a fresh environment and use it from there: `make wheel`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
from otel_episodes import configure, episode, step
configure()
with episode("from the wheel"), step("cargo", action="build"):
    pass
"""


def main() -> None:
    """Build, install, record, read."""
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT)
        (wheel,) = Path(folder).glob("*.whl")
        names = zipfile.ZipFile(wheel).namelist()
        packages = {name.split("/")[0] for name in names}
        assert packages == {"otel_episodes", "otel_episodes_clickhouse", f"{wheel.stem.split('-py3')[0]}.dist-info"}
        assert {"otel_episodes/py.typed", "otel_episodes_clickhouse/sql/views/episodes.sql"} <= set(names)
        home = Path(folder, "venv")
        venv.create(home, with_pip=True)
        run(home / "bin" / "pip", "install", "--quiet", wheel)
        bare = run(home / "bin" / "otel-episodes", "episodes", check=False)
        assert bare.returncode == 1, bare
        assert "otel-episodes[embedded]" in bare.stderr, bare
        run(home / "bin" / "pip", "install", "--quiet", f"{wheel}[embedded]")
        env = {**os.environ, "OTEL_EPISODES_HOME": str(Path(folder, "data"))}
        run(home / "bin" / "python", "-c", PROGRAM, env=env)
        listed = run(home / "bin" / "otel-episodes", "episodes", "--json", env=env)
        assert "from the wheel" in listed.stdout, listed
    print(f"the wheel works: {len(names)} files")


def run(
    *command: str | Path, env: dict[str, str] | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder that is not the repository."""
    done = subprocess.run(
        [str(part) for part in command], cwd=tempfile.gettempdir(), env=env, capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


if __name__ == "__main__":
    main()
