"""The hooks in the settings of an agent: put there and taken out again, everything else as it was."""

from __future__ import annotations

import difflib
import json
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from otel_episodes import UsageError
from otel_episodes_clickhouse import config
from otel_episodes_clickhouse.hooks import relay


@dataclass(frozen=True)
class Agent:
    """Where an agent keeps its hooks, the events that say its transcript has grown, and what else to tell the user."""

    reader: str
    file: str
    events: tuple[str, ...]
    note: str = ""


AGENTS: Final = {
    "claude-code": Agent(
        "claude-code",
        ".claude/settings.json",
        ("UserPromptSubmit", "PreToolUse", "PostToolUse", "PostToolUseFailure", "Stop", "SubagentStop", "SessionEnd"),
    ),
    "codex": Agent(
        "codex",
        ".codex/hooks.json",
        ("UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop", "SubagentStop"),
        "Codex runs new hooks once you trust them (/hooks in a session); older versions need codex_hooks = true under "
        "[features] in config.toml.",
    ),
    "gemini": Agent(
        "gemini-cli",
        ".gemini/settings.json",
        ("BeforeAgent", "BeforeTool", "AfterTool", "AfterAgent", "SessionEnd"),
        "Older versions of Gemini CLI need tools.enableHooks set to true in the same file.",
    ),
}
_TIMEOUT_SECONDS: Final = 10


def command(agent: Agent, per: str = "", *, advice: bool = False) -> str:
    """Return what the agent runs on each event; ``per`` as in `ImportOptions`, ``advice`` to tell it things too."""
    # -S: no site directories, which take longer to find than everything else here.
    program = [sys.executable, "-S", "-E", relay.__file__]
    # Where this package is when it is not installed: whoever brings in must find it.
    package = Path(relay.__file__).parents[2]
    elsewhere = "" if any(part in ("site-packages", "dist-packages") for part in package.parts) else str(package)
    beside = str(package.parent) if elsewhere else ""
    where = [str(config.home() / "hooks"), ":".join(filter(None, (elsewhere, beside)))]
    chosen = [*([f"per={per}"] if per else []), *(["advice=on"] if advice else [])]
    return shlex.join([*program, agent.reader, *where, *chosen])


def keep_environment() -> Path:
    """Write down the variables that say where episodes go, for hooks, whose agents keep OTEL_* from them."""
    path = config.home() / "hooks" / "environment.json"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.touch(mode=0o600)
    new.write_text(json.dumps(config.recording_variables(), indent=2), encoding="utf-8")
    new.replace(path)
    return path


def entries(agent: Agent, per: str = "", *, advice: bool = False) -> dict[str, Any]:
    """Return the hooks as the agent's settings have them."""
    hook = {"type": "command", "command": command(agent, per, advice=advice), "timeout": _TIMEOUT_SECONDS}
    if agent.reader == "gemini-cli":
        hook |= {"name": "otel-episodes", "timeout": _TIMEOUT_SECONDS * 1000}
    return {event: [{"hooks": [hook]}] for event in agent.events}


def installed(settings: dict[str, Any], agent: Agent, per: str = "", *, advice: bool = False) -> dict[str, Any]:
    """Return settings with our hooks in them, once; those of others stay."""
    bare = removed(settings)
    hooks = dict(bare.get("hooks") or {})
    for event, ours in entries(agent, per, advice=advice).items():
        hooks[event] = [*(hooks.get(event) or []), *ours]
    return {**bare, "hooks": hooks}


def removed(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings without our hooks."""
    hooks = settings.get("hooks")
    if not isinstance(hooks, dict):
        return settings
    kept: dict[str, Any] = {}
    for event, groups in hooks.items():
        if not isinstance(groups, list):
            kept[event] = groups
            continue
        left = [group for group in map(_without_ours, groups) if group is not None]
        if left or not groups:
            kept[event] = left
    rest = {name: value for name, value in settings.items() if name != "hooks"}
    return {**settings, "hooks": kept} if kept else rest


def _without_ours(group: Any) -> Any:
    if not isinstance(group, dict) or not isinstance(group.get("hooks"), list):
        return group
    left = [hook for hook in group["hooks"] if not (isinstance(hook, dict) and _is_ours(hook.get("command")))]
    if left == group["hooks"]:
        return group
    return {**group, "hooks": left} if left else None


def _is_ours(text: object) -> bool:
    return isinstance(text, str) and "otel_episodes_clickhouse/hooks/relay.py" in text.replace("\\", "/")


def read(path: Path) -> dict[str, Any]:
    """Return the settings in a file, none where there is none yet.

    Raises:
        UsageError: it is not plain JSON, so it cannot be written again as it was.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8") or "{}")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as JSON ({error}): add what `hooks print` shows by hand") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} is not an object: add what `hooks print` shows by hand")
    return found


def difference(path: Path, before: dict[str, Any], after: dict[str, Any]) -> str:
    """Return what would change in a file, as a diff."""
    was, will_be = (_text(settings).splitlines() if settings else [] for settings in (before, after))
    return "\n".join(difflib.unified_diff(was, will_be, str(path), str(path), lineterm=""))


def write(path: Path, settings: dict[str, Any]) -> Path | None:
    """Write settings; return where the file is kept as it was, None where there was none."""
    kept = None
    if path.exists():
        kept = path.with_name(f"{path.name}.before-otel-episodes-{time.strftime('%Y%m%d-%H%M%S')}")
        kept.write_bytes(path.read_bytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_text(_text(settings), encoding="utf-8")
    if kept is not None:
        new.chmod(path.stat().st_mode)
    new.replace(path)
    return kept


def _text(settings: dict[str, Any]) -> str:
    return json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
