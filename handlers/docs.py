"""`GET /docs`, `/openapi.json`, `/asyncapi.json`: the interface described, from the code."""

from typing import Final

from handlers import asyncapi, openapi
from handlers.base import BaseHandler
from handlers.docs_page import STYLE_HASH, page

# Nothing but the page's own style, named by its hash.
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
# It changes with the server's version only, and is asked for with its ETag after that.
_CACHE: Final = "public, max-age=300"


class DocsHandler(BaseHandler):
    def get(self) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Cache-Control", _CACHE)
        self.finish(page(self.services.settings.api_key_required))

    head = get


class OpenApiHandler(BaseHandler):
    def get(self) -> None:
        self.set_header("Cache-Control", _CACHE)
        self.send_json(openapi.document(self.services.settings.api_key_required))

    head = get


class AsyncApiHandler(BaseHandler):
    def get(self) -> None:
        self.set_header("Cache-Control", _CACHE)
        self.send_json(asyncapi.document())

    head = get
