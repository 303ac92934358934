"""The name of the work that is done in a folder: what an imported session has as its domain."""

from __future__ import annotations

import re
from typing import Final

_REMOTE: Final = re.compile(r"[/:]([^/:]+?)(?:\.git)?/?$")
_NAMELESS: Final = frozenset(("", "/", "~", "root", "home", "tmp", "app", "workspace", "w"))


def domain_of(folder: str, remote: str = "") -> str:
    """Return the name of a repository: by its remote, else its folder's last part; empty where that says nothing."""
    match = _REMOTE.search(remote)
    if match is not None:
        return match[1]
    name = re.split(r"[/\\]", folder.rstrip("/\\"))[-1]
    return "" if name in _NAMELESS else name
