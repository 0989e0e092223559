"""What every answer has in common: headers, errors, and the limits on a request."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, ClassVar, Final

import structlog
from msgspec import Struct
from tornado.httputil import format_timestamp
from tornado.web import HTTPError, RequestHandler

from handlers import parameters
from handlers.answers import Problem
from handlers.endpoints import JSON, PROBLEM
from handlers.page import Page
from handlers.parameters import Parameter
from wd_server import __version__
from wd_server.access.addresses import client_address
from wd_server.access.authenticator import Authenticator
from wd_server.access.credentials import Credential, presented
from wd_server.access.principal import Principal
from wd_server.access.windows import UNLIMITED, Usage
from wd_server.chain.deliveries import Deliveries
from wd_server.config.settings import Settings
from wd_server.errors import ForbiddenWallet, InternalError, WalletDoctorError
from wd_server.events import encoding
from wd_server.health_document import HealthDocument
from wd_server.http_reader import HEAD_BYTES, HEAD_FIELDS
from wd_server.journal.base import Journal
from wd_server.streaming.registry import StreamRegistry
from wd_server.sync.explainer import Explainer
from wd_server.sync.sessions import Sessions
from wd_server.tasks import Tasks

# Seconds a browser may keep the answer to a preflight.
PREFLIGHT_SECONDS = 600
# What a page of another origin may send beyond what browsers always let it, and what it may read.
# EventSource polyfills that use XMLHttpRequest send Cache-Control and X-Requested-With.
ALLOWED_HEADERS: Final = (
    "Authorization, X-API-Key, Last-Event-ID, Content-Type, Cache-Control, X-Requested-With"
)
EXPOSED_HEADERS: Final = "X-Stream-ID, Retry-After, RateLimit, RateLimit-Policy, WWW-Authenticate"

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
    seconds. `examples`: wallets to try, with their number of transactions."""

    settings: Settings
    journal: Journal
    sessions: Sessions
    explainer: Explainer
    registry: StreamRegistry
    authenticator: Authenticator
    deliveries: Deliveries
    health: Callable[[], HealthDocument]
    metrics: Callable[[], bytes]
    clock: Callable[[], float]
    tasks: Tasks
    page: Page
    examples: Sequence[tuple[str, int]]


class BaseHandler(RequestHandler):
    """`methods` are those that a handler has besides OPTIONS."""

    methods: ClassVar[tuple[str, ...]] = ("GET", "HEAD")

    def initialize(self, services: Services) -> None:
        self.services = services

    def set_default_headers(self) -> None:
        for name, value in common_headers(*self.origins()):
            self.set_header(name, value)

    def origins(self) -> tuple[tuple[str, ...], str]:
        """The allowed ones, and the one that asks if it is among them, else an empty text."""
        services: Services = self.application.settings["services"]
        allowed = services.settings.allowed_origins
        origin = self.request.headers.get("Origin", "") if allowed else ""
        return allowed, origin if origin in allowed else ""

    async def prepare(self) -> None:
        self.check_body()

    def check_body(self) -> None:
        """Raises HTTPError."""
        if self.request.method in ("GET", "HEAD", "DELETE") and self.request.body:
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

    def texts(self, row: Parameter[object]) -> list[str]:
        """All that the request has for this parameter of the query or header."""
        if row.place == "header":
            return self.request.headers.get_list(row.name)
        values = self.request.query_arguments.get(row.name, [])
        return [value.decode("utf-8", "replace") for value in values]

    def send_json(self, value: Struct, status: int = 200) -> None:
        self.set_status(status)
        self.set_header("Content-Type", JSON)
        self.finish(encoding.encode(value))

    def options(self, *_: str) -> None:
        self.set_status(204)
        self.set_header("Allow", self._allow())
        if self.origins()[1]:
            self.set_header("Access-Control-Allow-Methods", ", ".join(self.methods))
            self.set_header("Access-Control-Allow-Headers", ALLOWED_HEADERS)
            self.set_header("Access-Control-Max-Age", str(PREFLIGHT_SECONDS))
        self.finish()

    def _allow(self) -> str:
        return ", ".join((*self.methods, "OPTIONS"))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """RFC 9457. `error` repeats `detail` for readers of the older format."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        if isinstance(error, WalletDoctorError):
            code, detail = error.code, error.message
            self.set_status(error.status)
            for name, value in error.headers.items():
                self.set_header(name, value)
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
            detail = f"This method is not allowed here; use one of {self._allow()}."
            self.set_header("Allow", self._allow())
        self.set_header("Content-Type", PROBLEM)
        self.finish(_problem(status, code, detail))

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if value is not None and not isinstance(value, (WalletDoctorError, HTTPError)):
            _log.error("request failed", path=self.request.path, exc_info=(typ, value, tb))


class GuardedHandler(BaseHandler):
    """Answers who has a key or a token, or anybody where none is required, as often as they may
    ask. `principal` is who asks, None until that is known."""

    principal: Principal | None = None
    usage: Usage = UNLIMITED

    async def prepare(self) -> None:
        self.check_body()
        if self.request.method == "OPTIONS":  # a preflight has no credentials
            return
        services, request = self.services, self.request
        now = services.clock()
        address = client_address(
            request.remote_ip or "",
            request.headers.get("X-Forwarded-For", ""),
            services.settings.trusted_proxies,
        )
        principal = await services.authenticator.check(self._credential(), address, now)
        self.usage = await services.authenticator.spend(principal)
        self._show_usage()
        self.principal = principal

    def identified(self) -> Principal:
        """Who asks, in every method but OPTIONS."""
        assert self.principal is not None
        return self.principal

    def check_wallets(self, wallets: Iterable[str]) -> None:
        """Raises ForbiddenWallet."""
        principal = self.identified()
        for wallet in wallets:
            if not principal.may_read(wallet):
                raise ForbiddenWallet(f"Your key or token is not for the wallet {wallet}.")

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Cache-Control", "private, no-cache")
        self._show_usage()

    def _show_usage(self) -> None:
        """An error that met another limit puts its own in the place of these."""
        for name, value in self.usage.headers().items():
            self.set_header(name, value)

    def _credential(self) -> Credential | None:
        return presented(
            authorization=self.texts(parameters.AUTHORIZATION),
            x_api_key=self.texts(parameters.X_API_KEY),
            api_key=self.texts(parameters.API_KEY),
            access_token=self.texts(parameters.ACCESS_TOKEN),
        )


class NotFoundHandler(BaseHandler):
    """Every path that no other handler has."""

    async def prepare(self) -> None:
        raise HTTPError(404, reason="There is nothing here. GET / lists what there is.")


def common_headers(allowed_origins: tuple[str, ...], origin: str) -> Iterator[tuple[str, str]]:
    """Those that stand on every answer, also on one that leaves without Tornado. For the arguments
    see `BaseHandler.origins`."""
    yield "Server", f"wd-server/{__version__}"
    yield from SECURITY_HEADERS.items()
    if allowed_origins:
        yield "Vary", "Origin"
    if origin:
        yield "Access-Control-Allow-Origin", origin
        yield "Access-Control-Expose-Headers", EXPOSED_HEADERS


# What is said to a request that isn't read to its end: the code and why, by status.
_UNREAD: Final = {
    400: ("BAD_REQUEST", "This is no request that can be understood in one way."),
    413: ("CONTENT_TOO_LARGE", "The body is larger than this endpoint takes."),
    414: (
        "URI_TOO_LONG",
        f"The request's target is too long: with its target, a head may have {HEAD_BYTES} bytes.",
    ),
    431: (
        "REQUEST_HEADER_FIELDS_TOO_LARGE",
        f"The request's head is larger than {HEAD_BYTES} bytes, or has more than {HEAD_FIELDS} "
        "fields.",
    ),
}


def refusal(status: int, now: int) -> bytes:
    """The whole answer to what isn't read as a request; the connection ends with it."""
    body = _problem(status, *_UNREAD[status])
    fields = {
        "Server": f"wd-server/{__version__}",
        "Date": format_timestamp(now),
        **SECURITY_HEADERS,
        "Content-Type": PROBLEM,
        "Content-Length": len(body),
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _problem(status: int, code: str, detail: str) -> bytes:
    return encoding.encode(
        Problem(
            type="about:blank",
            title=HTTPStatus(status).phrase,
            status=status,
            detail=detail,
            code=code,
            error=detail,
        )
    )
