"""The examples run as they are, offline, and print what docs/how-to/examples.md says."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from examples_page import PAGE, PROGRAM, ROOT, SESSION, go_through, stable

if TYPE_CHECKING:
    from collections.abc import Iterator

SECTIONS = {
    section.partition("\n")[0]: section for section in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]
}
# What a section needs beyond the package itself.
NEEDS = {"pydantic-ai, without a decorator": "pydantic_ai", "To a collector": "rotel"}


@pytest.fixture
def collector(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return the variables that point to a collector, for the section that needs one."""
    if request.node.callspec.params["title"] != "To a collector":
        yield {}
        return
    rotel = pytest.importorskip("rotel")
    with socket.socket() as http, socket.socket() as grpc:
        for each in (http, grpc):
            each.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in (http, grpc)]
    log = tmp_path / "rotel.log"
    command = [
        str(Path(rotel.__file__).with_name("rotel-agent")), "start", "--exporter", "blackhole",
        "--debug-log", "traces", "--otlp-http-endpoint", addresses[0], "--otlp-grpc-endpoint", addresses[1],
    ]  # fmt: skip
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            for _ in range(600):
                if "Starting Rotel" in log.read_text():
                    break
                time.sleep(0.1)
            yield {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{addresses[0]}"}
        finally:
            process.terminate()
    # The episode, its start marker and its one step.
    assert re.search(r"Received traces.* spans=3\b", re.sub(r"\x1b\[\d*m", "", log.read_text()))


@pytest.mark.campaign
@pytest.mark.parametrize("title", SECTIONS)
def test_a_session_goes_as_the_page_says(title: str, collector: dict[str, str]) -> None:
    if title in NEEDS:
        pytest.importorskip(NEEDS[title])
    (session,) = SESSION.finditer(SECTIONS[title])
    assert stable(go_through(session[2], **collector)) == stable(session[2])


def test_the_page_shows_every_program_as_it_is() -> None:
    shown = {found[2]: found[3] for found in PROGRAM.finditer(PAGE.read_text())}
    there = {f"examples/{path.name}" for path in (ROOT / "examples").iterdir() if path.is_file()}
    assert set(shown) == there
    assert [path for path, text in shown.items() if text != (ROOT / path).read_text()] == []
