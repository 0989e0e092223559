"""`GET /`: the page for browsers and what it loads; for others what this is and where to go on."""

from typing import Final

from tornado.web import HTTPError

from handlers.answers import ExampleWallet, Home, Links
from handlers.base import BaseHandler
from handlers.negotiation import accepted_encoding, takes_html
from handlers.page import File
from wd_server import __version__

# The page loads its own files and asks its own server, and nothing else. No text ever becomes
# markup or code.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
FOR_GOOD: Final = "public, max-age=31536000, immutable"
LINKS: Final = Links(
    stream="/v4/wallet/{address}/stream",
    wallet="/v4/wallet/{address}",
    trades="/v4/wallet/{address}/trades",
    movements="/v4/wallet/{address}/movements",
    explain="/v4/wallet/{address}/explain/{signature}",
    several="/v4/stream?wallet={address}&wallet={address}",
    streams="/v4/streams",
    token="/v4/auth/token",
    health="/health",
    metrics="/metrics",
    docs="/docs",
    openapi="/openapi.json",
    asyncapi="/asyncapi.json",
)


class FileHandler(BaseHandler):
    """Answers with a file that is in memory."""

    def send(self, file: File, cache: str) -> None:
        self.set_header("Content-Type", file.kind)
        self.set_header("Cache-Control", cache)
        self.set_header("Etag", file.etag)
        self.add_header("Vary", "Accept-Encoding")
        if self.check_etag_header():
            self.set_status(304)
            self.finish()
        elif accepted_encoding(self.request.headers.get("Accept-Encoding", "")) == "gzip":
            self.set_header("Content-Encoding", "gzip")
            self.finish(file.gzip)
        else:
            self.finish(file.plain)


class HomeHandler(FileHandler):
    def get(self) -> None:
        self.add_header("Vary", "Accept")
        if takes_html(self.request.headers.get("Accept", "")):
            self.set_header("Content-Security-Policy", POLICY)
            self.send(self.services.page.html, "no-cache")
            return
        wallets = [ExampleWallet(*example) for example in self.services.examples]
        self.send_json(Home("wd-server", __version__, LINKS, wallets))

    head = get


class PageFileHandler(FileHandler):
    """`GET /web/{version}/{name}`: what the page loads. While nodes are updated, a page may ask one
    that has another version: it gets that, and doesn't keep it."""

    def get(self, version: str, name: str) -> None:
        page = self.services.page
        file = page.files.get(name)
        if file is None:
            raise HTTPError(404, reason="There is no such file.")
        self.send(file, FOR_GOOD if version == page.version else "no-store")

    head = get
