"""What MkDocs does beside its own: links that lead out of docs/ become text, since the site has
only that folder. What leads nowhere at all stays a link, and so a warning."""

import re
from pathlib import Path
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)#]+)(?:#[^)]*)?\)")
_ROOT = Path(__file__).resolve().parent.parent


def on_page_markdown(markdown: str, **_: Any) -> str:
    def as_text(link: re.Match[str]) -> str:
        return link[1] if (_ROOT / link[2]).exists() else link[0]

    return _OUTSIDE.sub(as_text, markdown)
