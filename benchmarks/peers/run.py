"""Compare what a tool call costs to record: each peer beside a hand-written span in the same process.

`python benchmarks/peers/run.py --install` makes one virtual environment per peer under ~/.cache/otel-episodes-bench
(half a gigabyte in all) and installs the peer there; without it, what is there already is measured. The figure to
compare is the ratio to the hand-written span: it was taken in the peer's own process, in the same rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

# What a step of ours has with the default capture; `arm_otel_episodes` shows them with --json.
OUR_ATTRIBUTES = 10
INSTALL_SECONDS = 1200
RUN_SECONDS = 300
OPT_OUTS = {
    "DO_NOT_TRACK": "true",
    "ANONYMIZED_TELEMETRY": "false",
    "LOGFIRE_SEND_TO_LOGFIRE": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "TRACELOOP_TELEMETRY": "false",
    "TRACELOOP_METRICS_ENABLED": "false",
    "TRACELOOP_LOGGING_ENABLED": "false",
}
FOREIGN = ("OTEL_", "AGENTOPS_", "LANGFUSE_", "LOGFIRE_", "MLFLOW_", "OPENLIT_", "TRACELOOP_")


class UnavailableError(Exception):
    """The peer could not be installed or run; the message says why."""


@dataclass(frozen=True)
class Candidate:
    """A peer, what to install for it, and the environment its recording needs; ours runs in this interpreter."""

    name: str
    requirements: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


CANDIDATES = (
    Candidate("otel_episodes"),
    Candidate(
        "util_genai",
        ("opentelemetry-util-genai", "opentelemetry-sdk"),
        {
            "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
        },
    ),
    Candidate("openlit", ("openlit",)),
    Candidate("traceloop", ("traceloop-sdk", "httpx"), note="imports httpx, which it does not require itself"),
    Candidate("agentops", ("agentops",)),
    Candidate("logfire", ("logfire",)),
    Candidate("openinference", ("openinference-instrumentation", "opentelemetry-sdk")),
    Candidate("langfuse", ("langfuse",)),
    Candidate(
        "mlflow",
        ("mlflow-tracing",),
        # A store has to be named; nothing is sent to it.
        {"MLFLOW_USE_DEFAULT_TRACER_PROVIDER": "false", "MLFLOW_TRACKING_URI": "http://localhost:1"},
    ),
)


def _interpreter(candidate: Candidate, venvs: Path) -> Path:
    if not candidate.requirements:
        return Path(sys.executable)
    return venvs / candidate.name / "bin" / "python"


def install(candidate: Candidate, venvs: Path) -> None:
    """Make the peer's virtual environment, unless it is there already."""
    if not candidate.requirements:
        return
    venv = venvs / candidate.name
    done = venv / ".installed"
    if done.exists() and done.read_text() == "\n".join(candidate.requirements):
        return
    print(f"installing {candidate.name} into {venv} ...", file=sys.stderr)
    python = _interpreter(candidate, venvs)
    uv = shutil.which("uv")
    # pip takes many minutes to resolve some of these, uv seconds.
    installer = [uv, "pip", "install", "--python", str(python)] if uv else [str(python), "-m", "pip", "install"]
    _run([sys.executable, "-m", "venv", "--clear", str(venv)], INSTALL_SECONDS)
    _run([*installer, "--quiet", *candidate.requirements], INSTALL_SECONDS)
    done.write_text("\n".join(candidate.requirements))


def measure(candidate: Candidate, venvs: Path, extra: Sequence[str]) -> dict[str, Any]:
    """Run the peer's arm in its own interpreter, in an empty folder and without a network."""
    python = _interpreter(candidate, venvs)
    if not python.exists():
        raise UnavailableError("not installed: run with --install")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
    environment |= {**OPT_OUTS, **candidate.environment}
    environment |= {"PYTHONPATH": str(HERE.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryDirectory() as empty:
        output = _run([str(python), str(HERE / "measure.py"), candidate.name, *extra], RUN_SECONDS, environment, empty)
    try:
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise UnavailableError(f"printed no result: {output[-200:]!r}") from error
    return result


def _run(
    command: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None, folder: str | None = None
) -> str:
    try:
        done = subprocess.run(
            command, env=environment, cwd=folder, timeout=seconds, capture_output=True, text=True, check=True
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{Path(command[0]).name} took more than {seconds:.0f} s") from error
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout).strip().splitlines() or [f"exit status {error.returncode}"]
        raise UnavailableError(lines[-1]) from error
    return done.stdout


def _collect(given: argparse.Namespace) -> list[dict[str, Any]]:
    results = []
    for candidate in CANDIDATES:
        if given.only and candidate.name not in given.only:
            continue
        try:
            if given.install:
                install(candidate, given.venvs)
            amount = ["--rounds", str(given.rounds), "--calls", str(given.calls)]
            figures = measure(candidate, given.venvs, amount)
            figures["equal"] = _at_equal_content(candidate, given.venvs, amount, len(figures["span"]) - 1)
        except UnavailableError as reason:
            figures = {"unavailable": str(reason)}
        results.append({"peer": candidate.name, "note": candidate.note, **figures})
    return sorted(results, key=lambda result: float(result.get("ratio", "inf")))


def _at_equal_content(candidate: Candidate, venvs: Path, amount: Sequence[str], attributes: int) -> float | None:
    """Return the peer's ratio when the tool sets by hand what its span has fewer attributes than ours."""
    if attributes >= OUR_ATTRIBUTES:
        return None
    figures = measure(candidate, venvs, [*amount, "--more", str(OUR_ATTRIBUTES - attributes)])
    # Fewer: the peer's span is not the current one in its tool, and the attributes went elsewhere.
    return float(figures["ratio"]) if len(figures["span"]) - 1 == OUR_ATTRIBUTES else None


def _row(result: Mapping[str, Any]) -> list[str]:
    if "unavailable" in result:
        return [result["peer"], "", "", "", "", "", "", "", f"not measured: {result['unavailable']}"]
    captured = [word for word in ("arguments", "result") if result[f"captures_{word}"]]
    remarks = [result["wiring"], result["note"], f"tried to reach {result['refused']}" if result["refused"] else ""]
    return [
        f"{result['name']} {result['version']}",
        f"{result['ratio']:.2f}",
        "" if result["equal"] is None else f"{result['equal']:.2f}",
        f"{result['ratio_p10']:.2f}-{result['ratio_p90']:.2f}",
        f"{result['micros']:.1f}",
        f"{result['baseline_micros']:.1f}",
        " + ".join(captured) or "neither",
        str(len(result["span"]) - 1),
        "; ".join(filter(None, remarks)),
    ]


def main() -> int:
    """Measure the peers and print one table; exit 1 if one could not be measured."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--install", action="store_true", help="make the peers' virtual environments first")
    options.add_argument("--only", nargs="+", choices=[candidate.name for candidate in CANDIDATES], metavar="PEER")
    options.add_argument("--venvs", type=Path, default=Path.home() / ".cache" / "otel-episodes-bench")
    options.add_argument("--rounds", type=int, default=40)
    options.add_argument("--calls", type=int, default=300)
    options.add_argument("--json", action="store_true", help="print what was measured, each peer's span included")
    given = options.parse_args()
    results = _collect(given)
    if given.json:
        print(json.dumps(results, indent=2))
    else:
        _print(results)
    return int(any("unavailable" in result for result in results))


def _print(results: Sequence[Mapping[str, Any]]) -> None:
    from table import show  # it is found once the path above is set

    show(
        "Recording one tool call, as a ratio to the same span written by hand (CPU of the calling thread)",
        ["peer", "ratio", "at 10 attributes", "p10-p90", "µs", "by hand µs", "captured", "attributes", "wired with"],
        [_row(result) for result in results],
        note="Every ratio was taken within one process, in alternating rounds; microseconds differ between processes.",
    )
    show(
        "The same call by the clock, µs",
        ["peer", "p50", "p99", "p99.9", "by hand: p50", "p99", "p99.9", "p50, ratio", "p99", "p99.9"],
        [_clock_row(result) for result in results if "clock" in result],
        note=f"Both by turns in one process, with what the machine did besides; load {os.getloadavg()[0]:.1f}.",
    )


def _clock_row(result: Mapping[str, Any]) -> list[str]:
    ours, by_hand = result["clock"]["peer"], result["clock"]["by_hand"]
    ratios = [f"{mine / other:.2f}" for mine, other in zip(ours, by_hand, strict=True)]
    return [f"{result['name']} {result['version']}", *(f"{value:.0f}" for value in (*ours, *by_hand)), *ratios]


if __name__ == "__main__":
    sys.exit(main())
