"""What every answer has in common: headers, errors, and the limits on a request."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any

import structlog
from tornado.web import HTTPError, RequestHandler

from wd_server import __version__
from wd_server.analysis.analysis import Analysis
from wd_server.errors import InternalError, WalletDoctorError
from wd_server.journal.base import Journal
from wd_server.settings import Settings
from wd_server.streaming import event
from wd_server.streaming.registry import StreamRegistry

# Bytes a request's head may have. Browsers send 1 to 2 KB; a token in it adds up to 4.
HEADER_BYTES = 16 * 1024
# Seconds a browser may keep the answer to a preflight.
PREFLIGHT_SECONDS = 600
# What every path takes.
METHODS = "GET, HEAD, OPTIONS"

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-XSS-Protection": "1; mode=block",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}

_log = structlog.get_logger("http")


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers work with. `health` and `metrics` answer from memory, `clock` in unix
    seconds."""

    settings: Settings
    journal: Journal
    analysis: Analysis
    registry: StreamRegistry
    health: Callable[[], dict[str, Any]]
    metrics: Callable[[], bytes]
    clock: Callable[[], float]


class BaseHandler(RequestHandler):
    def initialize(self, services: Services) -> None:
        self.services = services

    def set_default_headers(self) -> None:
        services: Services = self.application.settings["services"]
        for name, value in self.common_headers(services.settings.allowed_origins):
            self.set_header(name, value)

    def common_headers(self, allowed_origins: Iterable[str]) -> Iterable[tuple[str, str]]:
        """Those that stand on every answer, also on one that leaves without Tornado."""
        yield "Server", f"wd-server/{__version__}"
        yield from SECURITY_HEADERS.items()
        if allowed_origins:
            yield "Vary", "Origin"
            origin = self.request.headers.get("Origin", "")
            if origin in allowed_origins:
                yield "Access-Control-Allow-Origin", origin
                yield "Access-Control-Expose-Headers", "X-Stream-ID, Retry-After"

    def prepare(self) -> None:
        size = sum(len(name) + len(value) for name, value in self.request.headers.get_all())
        if size > HEADER_BYTES:
            raise HTTPError(431, reason=f"The headers are larger than {HEADER_BYTES} bytes.")
        if self.request.method in ("GET", "HEAD") and self.request.body:
            raise HTTPError(400, reason="This request takes no body. Send it without one.")

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        """A path's part as text. What isn't UTF-8 is left for who parses the text to refuse."""
        return value.decode("utf-8", "replace")

    def query(self) -> dict[str, str]:
        """The query's parameters; of several with one name the last counts."""
        return {
            name: values[-1].decode("utf-8", "replace")
            for name, values in self.request.query_arguments.items()
        }

    def send_json(self, value: Any, status: int = 200) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(event.encode(value))

    def options(self, *_: str) -> None:
        self.set_status(204)
        self.set_header("Allow", METHODS)
        self.set_header("Access-Control-Allow-Methods", "GET, HEAD")
        self.set_header("Access-Control-Allow-Headers", "Accept, Last-Event-ID")
        self.set_header("Access-Control-Max-Age", str(PREFLIGHT_SECONDS))
        self.finish()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """RFC 9457. `error` repeats `detail` for readers of the older format."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        if isinstance(error, WalletDoctorError):
            code, detail = error.code, error.message
            self.set_status(error.status)
            if error.retry_after is not None:
                self.set_header("Retry-After", str(math.ceil(error.retry_after)))
        elif status_code >= 500:
            code, detail = InternalError.code, "Something went wrong on this server."
        else:
            phrase = HTTPStatus(status_code).phrase
            code = phrase.upper().replace(" ", "_")
            detail = getattr(error, "reason", None) or f"{phrase}."
        status = self.get_status()
        self.set_status(status)  # without an HTTPError's reason, which is the detail here
        if status == 405:
            detail = f"This method is not allowed here; use one of {METHODS}."
            self.set_header("Allow", METHODS)
        self.set_header("Content-Type", "application/problem+json")
        problem = {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "code": code,
            "error": detail,
        }
        self.finish(event.encode(problem))

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if value is not None and not isinstance(value, (WalletDoctorError, HTTPError)):
            _log.error("request failed", path=self.request.path, exc_info=(typ, value, tb))


class NotFoundHandler(BaseHandler):
    """Every path that no other handler has."""

    def prepare(self) -> None:
        raise HTTPError(404, reason="There is nothing here. GET / lists what there is.")
