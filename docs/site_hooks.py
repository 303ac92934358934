"""Links from a page to files of the repository that are not pages: checked here, and led to the repository's host."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "https://github.com/otel-episodes/otel-episodes/blob/main"
LINK = re.compile(r"\]\((\.\./[^)#\s]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Rewrite links that leave docs/; raise FileNotFoundError for one that leads nowhere."""
    here = Path(page.file.abs_src_path).parent

    def resolved(link: re.Match[str]) -> str:
        target = (here / link[1]).resolve()
        if target.is_relative_to(ROOT / "docs"):
            return link[0]
        if not target.exists():
            raise FileNotFoundError(f"{page.file.src_uri} links to {link[1]}, which does not exist")
        return f"]({SOURCE}/{target.relative_to(ROOT)}{link[2] or ''})"

    return LINK.sub(resolved, markdown)
