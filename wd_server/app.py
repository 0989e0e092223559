"""The one place where everything is put together."""

import asyncio
import random
import resource
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Literal
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
from handlers.wallet import TradesHandler, WalletHandler
from handlers.webhook import WebhookHandler
from wd_server import __version__
from wd_server.access import entrance, issuers
from wd_server.analysis.analysis import Analysis
from wd_server.analysis.sources import Sources
from wd_server.chain.budget import Budget
from wd_server.chain.deliveries import Deliveries
from wd_server.chain.history import NOTHING_KNOWN, Fetched
from wd_server.chain.listing import Cursor
from wd_server.chain.price_sources import Birdeye, DefiLlama
from wd_server.chain.quotes import HttpQuotes, NoQuotes, Quotes
from wd_server.chain.redis_budget import RedisBudgetStore
from wd_server.chain.rpc import upstream_http_client
from wd_server.chain.sqlite_budget import FILE_NAME, SqliteBudgetStore
from wd_server.chain.turns import Turn
from wd_server.chain.upstream import Upstream
from wd_server.errors import StoreUnavailable, UpstreamRejected
from wd_server.journal.base import Journal
from wd_server.journal.redis import RedisJournal
from wd_server.journal.sqlite import SqliteJournal
from wd_server.logs import log_request
from wd_server.looplag import LoopLag
from wd_server.metrics import Measured, exposition
from wd_server.redis_keeping import KeepingWatch
from wd_server.settings import Settings
from wd_server.streaming.client import Limits
from wd_server.streaming.registry import StreamRegistry

# Files a process needs besides its streams: journal, upstream, listening, requests under way.
RESERVED_FILES = 256
# The line on which nodes tell each other what the webhook brought: no wallet has such an address.
DELIVERIES_LINE = "webhook"
# Seconds between two looks for journals that were not used for JOURNAL_DAYS.
EXPIRY_SECONDS = 3600
DAY_SECONDS = 86_400

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
        self._started = time.monotonic()
        self._expiry: asyncio.Task[None] | None = None
        self._redis = entrance.redis_link(settings)
        self._keeping = KeepingWatch(self._redis) if self._redis is not None else None
        self.door = entrance.door(settings, time.time, self._redis)
        self._http = upstream_http_client()
        self._upstream = Upstream(settings, self._http)
        self._budget = self._daily_budget()
        quotes = _quotes(settings, self._http)
        self.journal = self._journal()
        self.analysis = Analysis(
            self._sources(quotes),
            live=self._upstream.live,
            account=self._upstream.account,
            poll_seconds=settings.poll_seconds,
            check_seconds=settings.check_seconds,
            linger_seconds=settings.run_linger,
        )
        self.registry = StreamRegistry(
            _limits(settings), self.journal, self.analysis, time.time, random.Random()
        )
        self._loop_lag = LoopLag()
        self._measured = Measured(
            registry=self.registry,
            analysis=self.analysis,
            upstream=self._upstream,
            quotes=quotes,
            journal=self.journal,
            door=self.door,
            redis=self._redis,
            loop_lag=self._loop_lag,
        )

    async def open(self) -> None:
        """Raises StoreUnavailable if the journal, the keys or the day's credits can't be opened."""
        try:
            if self._redis is not None:
                await self._redis.open()
            if self._keeping is not None:
                await self._keeping.look()
            await self.journal.open()
            await self.door.open()
            await self._budget.open()
            await self._upstream.open(self.analysis.following)
            deliveries = self._upstream.deliveries
            deliveries.relay = self.journal.line(DELIVERIES_LINE, _Heard(deliveries)).notify
        except BaseException:
            await self._close_stores()
            raise
        self._loop_lag.start()
        if isinstance(self.journal, SqliteJournal):
            expiring = self._expire_journals(self.journal)
            self._expiry = asyncio.get_running_loop().create_task(expiring)

    async def close(self) -> None:
        """Drop what is still open and stop all work; stored events stay."""
        self.registry.close()
        await self.analysis.close()
        await self._upstream.close()
        if self._expiry is not None:
            self._expiry.cancel()
        self._loop_lag.stop()
        await self._close_stores()
        self._http.close()

    async def _close_stores(self) -> None:
        await self._budget.close()
        await self.door.close()
        await self.journal.close()
        if self._redis is not None:
            await self._redis.close()

    def _journal(self) -> Journal:
        settings = self.settings
        if self._redis is None:
            return SqliteJournal(settings.data_dir / "journal.db")
        return RedisJournal(self._redis, settings.journal_days * DAY_SECONDS)

    def _daily_budget(self) -> Budget:
        if self._redis is None:
            path = self.settings.data_dir / FILE_NAME
            return Budget(self._upstream.account, SqliteBudgetStore(path))
        return Budget(self._upstream.account, RedisBudgetStore(self._redis))

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
        )

    def application(self) -> Application:
        services = Services(
            settings=self.settings,
            journal=self.journal,
            analysis=self.analysis,
            registry=self.registry,
            door=self.door,
            deliveries=self._upstream.deliveries,
            health=self.health,
            metrics=lambda: exposition(self._measured),
            clock=time.time,
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

    def refusal(self) -> bytes:
        """The whole answer to what is no HTTP."""
        return refusal(int(time.time()))

    def health(self) -> dict[str, Any]:
        """Section 6 of the public contract, from memory."""
        streams = self.registry.counts
        helius, stale = self._upstream_health(), self.door.statistics().stale
        keeping = self._keeping.latest if self._keeping is not None else None
        if self.registry.draining:
            status = "draining"
        elif self.journal.statistics().failing or stale or not self._redis_answers():
            status = "unhealthy"
        else:
            kept = keeping is None or not keeping.may_evict
            status = "healthy" if helius in ("configured", "simulated") and kept else "degraded"
        return {
            "status": status,
            "version": __version__,
            "timestamp": int(time.time()),
            "uptime": round(time.monotonic() - self._started, 1),
            "streaming": {
                "active_streams": streams.active,
                "total_streams": streams.total,
                "error_rate": streams.error_rate,
            },
            "dependencies": {"helius": helius, "redis": self._redis_health(stale)},
            **({} if keeping is None else {"redis": keeping._asdict()}),
        }

    def _upstream_health(self) -> Literal["configured", "simulated", "missing", "unavailable"]:
        if self.settings.helius_rpc_url is None:
            return "missing"
        rpc = self._upstream.rpc.statistics()
        if rpc.quota_exhausted or rpc.failing:
            return "unavailable"
        return "configured" if self._examples is None else "simulated"

    def _redis_health(self, stale: bool) -> Literal["configured", "embedded", "unavailable"]:
        if self._redis is None:
            return "embedded"
        return "unavailable" if stale or not self._redis_answers() else "configured"

    def _redis_answers(self) -> bool:
        return self._redis is None or self._redis.available

    async def _expire_journals(self, journal: SqliteJournal) -> None:
        while True:
            try:
                before = time.time() - self.settings.journal_days * DAY_SECONDS
                dropped = await journal.expire(before)
                if dropped:
                    _log.info("journals expired", wallets=dropped)
            except StoreUnavailable as error:
                _log.warning("journals can't be expired", error=error.message)
            await asyncio.sleep(EXPIRY_SECONDS)


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
    entrance.redis_link(settings)


class _Application(Application):
    """Takes a request's target in absolute form too (RFC 9112, section 3.2.2)."""

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        if request.path.startswith(("http://", "https://")):
            with suppress(ValueError):  # what is no URL is no path of ours
                request.path = urlsplit(request.path).path or "/"
        return super().find_handler(request, **kwargs)


class _Heard:
    """What other nodes say of deliveries."""

    def __init__(self, deliveries: Deliveries) -> None:
        self.on_notice = deliveries.hear

    def on_vacant(self) -> None:
        """Nobody has a lease of this line."""


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
    if settings.price_source == "defillama":
        return HttpQuotes(http, DefiLlama(base) if base else DefiLlama())
    if settings.price_source == "birdeye" and settings.birdeye_api_key is not None:
        key = settings.birdeye_api_key.reveal()
        return HttpQuotes(http, Birdeye(key, base) if base else Birdeye(key))
    return NoQuotes()


def _file_limit() -> int:
    """Open files this process may have, raised as far as it may raise that itself."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
