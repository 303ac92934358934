"""The suite on every Python that is installed here: `nox` runs all, `nox -s tests-3.12` one.

`make test` is what CI runs; this is for the versions that its machine does not have.
"""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False


@nox.session(python=["3.11", "3.12", "3.13", "3.14"])
def tests(session: nox.Session) -> None:
    """Run the suite, or the tests that are named behind `--`."""
    session.install("-e", ".[embedded,otlp,prices,serve,mcp]")
    session.install(*nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "dev"))
    session.run("pytest", "-n", "auto", "--dist", "loadfile", *session.posargs)
