"""The page for browsers: the files in `web/` as they go out.

They are read and compressed once, before the server listens. What the page loads stands below a
version that changes with any of it, so that a browser keeps it for good and never mixes two.
"""

import gzip
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple, Self

WEB = Path(__file__).parent / "web"
KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain; charset=utf-8",
}
# Where the version goes in the page itself.
PLACE: Final = b"{version}"
# Characters of the version and of a tag: 64 bits of a digest are enough to tell versions apart.
DIGEST_CHARS = 16


class File(NamedTuple):
    kind: str
    plain: bytes
    gzip: bytes
    etag: str

    @classmethod
    def of(cls, kind: str, plain: bytes) -> Self:
        # Without the time of compression the same file has the same bytes on every node. The tag
        # is weak since it stands for both forms.
        return cls(kind, plain, gzip.compress(plain, 9, mtime=0), f'W/"{_digest(plain)}"')


class Page(NamedTuple):
    """`files`: what the page loads, by name."""

    html: File
    files: Mapping[str, File]
    version: str

    @classmethod
    def load(cls, folder: Path = WEB) -> Self:
        """Raises OSError if the files aren't there."""
        index = (folder / "index.html").read_bytes()
        files = {
            path.relative_to(folder).as_posix(): File.of(KINDS[path.suffix], path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.suffix in KINDS and path.suffix != ".html"
        }
        version = _digest("".join(f"{name} {file.etag} " for name, file in files.items()).encode())
        html = File.of(KINDS[".html"], index.replace(PLACE, version.encode()))
        return cls(html, files, version)


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()[:DIGEST_CHARS]
