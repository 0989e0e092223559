"""The one place where everything is put together."""

import asyncio
import random
import resource
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, assert_never
from urllib.parse import urlsplit

import structlog
from tornado.httpclient import AsyncHTTPClient
from tornado.httputil import HTTPServerRequest
from tornado.web import Application, RequestHandler

from handlers.admission import StreamingHandler
from handlers.base import NotFoundHandler, Services, refusal
from handlers.docs import AsyncApiHandler, DocsHandler, OpenApiHandler
from handlers.health import HealthHandler, LivenessHandler, ReadinessHandler
from handlers.home import HomeHandler, PageFileHandler
from handlers.metrics import MetricsHandler
from handlers.page import Page
from handlers.several import SeveralHandler
from handlers.stream import StreamHandler
from handlers.streams import OwnStreamHandler, StreamsHandler
from handlers.token import TokenHandler
from handlers.wallet import (
    ExplainHandler,
    MovementsHandler,
    TradesHandler,
    WalletHandler,
)
from handlers.webhook import WebhookHandler
from wd_server.access import issuers
from wd_server.access.authenticator import Authenticator
from wd_server.backend_choice import choose_backend
from wd_server.chain.budget import Budget
from wd_server.chain.deliveries import Deliveries
from wd_server.chain.history import NOTHING_KNOWN, Fetched
from wd_server.chain.listing import Cursor
from wd_server.chain.price_sources import Birdeye, DefiLlama
from wd_server.chain.quotes import HttpQuotes, NoQuotes, Quotes
from wd_server.chain.rpc import upstream_http_client
from wd_server.chain.turns import Turn
from wd_server.chain.upstream import Upstream
from wd_server.config.settings import Settings
from wd_server.disk import PROBE_SECONDS, Disk
from wd_server.errors import UpstreamRejected
from wd_server.health import Health
from wd_server.logs import log_request
from wd_server.looplag import LoopLag
from wd_server.metrics import Measured, exposition
from wd_server.streaming.connection import Limits
from wd_server.streaming.registry import StreamRegistry
from wd_server.sync.explainer import Explainer
from wd_server.sync.sessions import Sessions
from wd_server.sync.sources import Sources
from wd_server.tasks import Tasks

# Files a process needs besides its streams: journal, upstream, listening, requests under way.
RESERVED_FILES = 256
# The topic on which nodes tell each other what the webhook brought: no wallet has such an address.
DELIVERIES_TOPIC = "webhook"

# Looked through in this order for each request: the one that comes most stands first.
ROUTES: Final[Sequence[tuple[str, type[RequestHandler]]]] = (
    (r"/v4/wallet/([^/]+)/stream", StreamHandler),
    (r"/v4/stream", SeveralHandler),
    (r"/", HomeHandler),
    (r"/web/([^/]+)/(.+)", PageFileHandler),
    (r"/health", HealthHandler),
    (r"/health/live", LivenessHandler),
    (r"/health/ready", ReadinessHandler),
    (r"/metrics", MetricsHandler),
    (r"/docs", DocsHandler),
    (r"/openapi.json", OpenApiHandler),
    (r"/asyncapi.json", AsyncApiHandler),
    (r"/v4/wallet/([^/]+)/trades", TradesHandler),
    (r"/v4/wallet/([^/]+)/movements", MovementsHandler),
    (r"/v4/wallet/([^/]+)/explain/([^/]+)", ExplainHandler),
    (r"/v4/wallet/([^/]+)", WalletHandler),
    (r"/v4/streams", StreamsHandler),
    (r"/v4/streams/([^/]+)", OwnStreamHandler),
    (r"/v4/auth/token", TokenHandler),
    (r"/v4/webhooks/helius", WebhookHandler),
)

Examples = Sequence[tuple[str, int]]

_log = structlog.get_logger("app")


class App:
    """Everything that lives as long as the process. `examples`: the chain behind
    `HELIUS_RPC_URL` isn't real, and these are wallets on it, with their number of transactions.
    Raises InvalidSettings (JWT_KEYS_FILE, REDIS_URL), StoreUnavailable (no SECRET_KEY, and no place
    to keep one)."""

    def __init__(self, settings: Settings, examples: Examples | None = None) -> None:
        self.settings = settings
        self._examples = examples
        self._tasks = Tasks()
        self._probing: asyncio.Task[None] | None = None
        self.backend = choose_backend(settings, self._tasks)
        self.journal = self.backend.journal
        self.authenticator = Authenticator.from_settings(
            settings, self.backend.keys, self.backend.counters, time.time, self._tasks
        )
        self._http = upstream_http_client()
        self._upstream = Upstream(settings, self._http, self._tasks)
        self._budget = Budget(self._upstream.account, self.backend.budget, tasks=self._tasks)
        quotes = _quotes(settings, self._http)
        self.sessions = Sessions(
            self._sources(quotes),
            live=self._upstream.live,
            account=self._upstream.account,
            poll_seconds=settings.poll_seconds,
            check_seconds=settings.check_seconds,
            linger_seconds=settings.run_linger,
            tasks=self._tasks,
        )
        self.explainer = Explainer(self.journal)
        self.registry = StreamRegistry(
            _limits(settings), self.journal, self.sessions, time.time, random.Random(), self._tasks
        )
        self._disk = Disk(settings.data_dir)
        self._health = self._make_health()
        self._loop_lag = LoopLag()
        self._measured = self._make_measured(quotes)

    async def open(self) -> None:
        """Raises StoreUnavailable if the journal, the keys or the day's credits can't be opened."""
        self._tasks.watch(asyncio.get_running_loop())
        try:
            await self.backend.open()
            await self.authenticator.open()
            await self._budget.open()
            await self._upstream.open(self.sessions.following)
            deliveries = self._upstream.deliveries
            deliveries.relay = self.journal.topic(
                DELIVERIES_TOPIC, _DeliveryNotices(deliveries)
            ).notify
        except BaseException:
            await self._close_stores()
            raise
        self._loop_lag.start()
        self._probing = self._tasks.every("disk_probe", PROBE_SECONDS, self._probe)

    async def close(self) -> None:
        """Drop what is still open and stop all work; stored events stay."""
        self.registry.close()
        await self.sessions.close()
        await self._upstream.close()
        await self._tasks.end(self._probing)
        self._loop_lag.stop()
        await self._close_stores()
        self._http.close()

    async def _close_stores(self) -> None:
        await self._budget.close()
        await self.authenticator.close()
        await self.backend.close()
        await self._tasks.close()
        self._disk.close()

    def _make_health(self) -> Health:
        return Health(
            started=time.monotonic(),
            has_upstream=self.settings.helius_rpc_url is not None,
            simulated=self._examples is not None,
            registry=self.registry,
            journal=self.journal,
            authenticator=self.authenticator,
            upstream=self._upstream,
            budget=self._budget,
            backend=self.backend,
            disk=self._disk,
            tasks=self._tasks,
        )

    def _make_measured(self, quotes: Quotes) -> Measured:
        return Measured(
            registry=self.registry,
            sessions=self.sessions,
            explainer=self.explainer,
            upstream=self._upstream,
            quotes=quotes,
            journal=self.journal,
            authenticator=self.authenticator,
            backend=self.backend,
            loop_lag=self._loop_lag,
            tasks=self._tasks,
            health=self._health,
        )

    def _sources(self, quotes: Quotes) -> Sources:
        settings, upstream = self.settings, self._upstream
        return Sources(
            journal=self.journal,
            history=upstream.history if settings.helius_rpc_url is not None else _NoHistory(),
            quotes=quotes,
            assets=upstream.assets,
            clock=time.time,
            cost_basis=settings.cost_basis,
            max_wallet_size=settings.max_wallet_size,
            accounts=upstream.accounts,
            tasks=self._tasks,
        )

    def application(self) -> Application:
        services = Services(
            settings=self.settings,
            journal=self.journal,
            sessions=self.sessions,
            explainer=self.explainer,
            registry=self.registry,
            authenticator=self.authenticator,
            deliveries=self._upstream.deliveries,
            health=lambda: self._health.document(int(time.time())),
            metrics=lambda: exposition(self._measured),
            clock=time.time,
            tasks=self._tasks,
            page=Page.load(),
            examples=self._examples or (),
        )
        given = {"services": services}
        return _Application(
            [(path, handler, given) for path, handler in ROUTES],
            default_handler_class=NotFoundHandler,
            default_handler_args=given,
            services=services,
            log_function=_log_request,
        )

    def open_streams(self) -> int:
        return self.registry.counts.active

    def refusal(self, status: int) -> bytes:
        """The whole answer to what isn't read as a request."""
        return refusal(status, int(time.time()))

    async def _probe(self) -> None:
        """Find out what can be stored, as much as a store writes at once where one is in doubt."""
        await self._disk.probe(thorough=bool(self._health.failing_stores()))
        if not self._disk.failing:
            await self.backend.probe()


def _limits(settings: Settings) -> Limits:
    files = _file_limit()
    return Limits(
        heartbeat_seconds=settings.sse_keepalive_interval,
        write_timeout=settings.write_timeout,
        stream_seconds=settings.sse_max_stream_duration,
        max_streams=min(settings.max_streams, max(files - RESERVED_FILES, files // 2)),
    )


def _log_request(handler: RequestHandler) -> None:
    """Of streams that were not opened only what an auditor looks for is worth a line: when many
    come back at once, it would cost as much as their answer. All of them are counted."""
    if isinstance(handler, StreamingHandler) and handler.get_status() not in (401, 403, 500):
        _log.debug("no stream", path=handler.request.path, status=handler.get_status())
    else:
        log_request(handler)


def check_files(settings: Settings) -> None:
    """What the settings name is read, as far as that changes nothing. Raises InvalidSettings."""
    if settings.jwt_keys_file is not None:
        issuers.read(settings.jwt_keys_file)
    choose_backend(settings, Tasks())


class _Application(Application):
    """Takes a request's target in absolute form too (RFC 9112, section 3.2.2)."""

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        if request.path[:8].lower().startswith(("http://", "https://")):
            with suppress(ValueError):  # what is no URL is no path of ours
                request.path = urlsplit(request.path).path or "/"
        return super().find_handler(request, **kwargs)


class _DeliveryNotices:
    """What other nodes say of deliveries."""

    def __init__(self, deliveries: Deliveries) -> None:
        self.on_notice = deliveries.hear

    def on_vacant(self) -> None:
        """Nobody has a lease of this topic."""


class _NoHistory:
    """Stands where no Solana RPC is configured, so that the server starts and says so."""

    async def read(
        self,
        wallet: str,
        after: Cursor | None,
        limit: int,
        known: Mapping[str, int] = NOTHING_KNOWN,
        turn: Turn | None = None,
    ) -> AsyncGenerator[Fetched, None]:
        await self.final_slot(first=True)
        yield Fetched([], 0)  # an async generator like the real one

    async def final_slot(self, *, first: bool) -> float:
        raise UpstreamRejected(
            "This server has no Solana RPC to ask. Its operator sets HELIUS_KEY or "
            "HELIUS_RPC_URL, or starts it with --demo."
        )


def _quotes(settings: Settings, http: AsyncHTTPClient) -> Quotes:
    base = settings.price_url.reveal().rstrip("/") if settings.price_url is not None else None
    match settings.price_source:
        case "none":
            return NoQuotes()
        case "defillama":
            return HttpQuotes(http, DefiLlama(base) if base else DefiLlama())
        case "birdeye":
            assert settings.birdeye_api_key is not None, "the settings ask for it"
            key = settings.birdeye_api_key.reveal()
            return HttpQuotes(http, Birdeye(key, base) if base else Birdeye(key))
    assert_never(settings.price_source)


def _file_limit() -> int:
    """Open files this process may have, raised as far as it may raise that itself."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
