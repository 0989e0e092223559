"""Webhooks: who is told of which accounts, and the deliveries.

One that isn't taken within a second is sent again up to three times; then it is lost for ever.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import Struct, field
from msgspec.structs import asdict
from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from wd_tools.simulator.addresses import Addresses
from wd_tools.simulator.bill import Bill
from wd_tools.simulator.enhanced import enhanced
from wd_tools.simulator.entry import Entry
from wd_tools.simulator.faults import Faults
from wd_tools.simulator.feed import Feed
from wd_tools.simulator.methods import RpcError, check_address
from wd_tools.simulator.notifications import Subject

LARGEST: Final = 100_000  # addresses of one webhook, Helius' limit
MOST: Final = 50  # webhooks, where the plan doesn't say
PATIENCE: Final = 1.0  # seconds within which a delivery has to be answered
RETRIES: Final = 3
# Deliveries on their way; what comes on top is lost, as it would be for a receiver that is down.
MOST_PENDING: Final = 2_000
FORBIDDEN: Final = 403  # is taken at its word and not asked again
T = TypeVar("T")


class WebhookError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class WebhookSettings(Struct, rename="camel"):
    """What a client may say of a webhook."""

    url: str = field(name="webhookURL")
    addresses: list[str] = field(name="accountAddresses")
    type: Literal["raw", "enhanced"] = field(name="webhookType", default="enhanced")
    transaction_types: list[str] = field(default_factory=lambda: ["ANY"])
    auth_header: str | None = None
    txn_status: Literal["all", "success", "failed"] = "all"
    active: bool = True


class SimulatedWebhook(WebhookSettings, rename="camel"):
    id: str = field(name="webhookID", default="")
    wallet: str = ""


class Webhooks:
    def __init__(
        self, feed: Feed, faults: Faults, bill: Bill, seed: int, most: int, pause: float
    ) -> None:
        """`most`: so many may be registered. `pause`: seconds between two attempts."""
        self._faults = faults
        self._bill = bill
        self._names = Addresses(seed)
        self._most = most
        self._pause = pause
        self._hooks: dict[str, SimulatedWebhook] = {}
        self._sets: dict[str, frozenset[str]] = {}
        self._made = 0
        self._pending: set[asyncio.Task[None]] = set()
        self._http: AsyncHTTPClient | None = None
        self.counts: Counter[str] = Counter()
        feed.listen("confirmed", self._tell)

    # Management

    def all(self) -> list[SimulatedWebhook]:
        return list(self._hooks.values())

    def get(self, name: str) -> SimulatedWebhook:
        if name not in self._hooks:
            raise WebhookError(404, f"webhook {name} not found")
        return self._hooks[name]

    def create(self, body: bytes) -> SimulatedWebhook:
        if len(self._hooks) >= self._most:
            raise WebhookError(400, f"webhook limit of {self._most} reached")
        self._made += 1
        return self._keep(self._names.of("webhook", str(self._made)), _parsed(body))

    def replace(self, name: str, body: bytes) -> SimulatedWebhook:
        self.get(name)
        return self._keep(name, _parsed(body))

    def change(self, name: str, body: bytes) -> SimulatedWebhook:
        """Only what the body names."""
        known = msgspec.to_builtins(self.get(name))
        try:
            given = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise WebhookError(400, str(error)) from None
        return self._keep(name, _parsed(msgspec.json.encode({**known, **given})))

    def remove(self, name: str) -> None:
        self.get(name)
        del self._hooks[name], self._sets[name]

    def _keep(self, name: str, settings: WebhookSettings) -> SimulatedWebhook:
        wallet = self._names.of("webhook owner")
        hook = SimulatedWebhook(**asdict(settings), id=name, wallet=wallet)
        self._hooks[name] = hook
        self._sets[name] = frozenset(hook.addresses)
        return hook

    # Deliveries

    def _tell(self, entries: Sequence[Entry]) -> None:
        active = [hook for hook in self._hooks.values() if hook.active]
        if not active:
            return
        subjects = [Subject(entry) for entry in entries]
        for hook in active:
            accounts = self._sets[hook.id]
            events = [
                subject.entry
                for subject in subjects
                if _wants(hook, subject.entry)
                and not accounts.isdisjoint(subject.named | subject.changed)
            ]
            self._send(hook, events)

    def _send(self, hook: SimulatedWebhook, events: list[Entry]) -> None:
        for _ in events:
            self._bill.webhook_event()
        self.counts["events"] += len(events)
        kept = [one for one in events if not self._faults.befall("missing", "webhook")]
        self.counts["lost"] += len(events) - len(kept)
        if not kept:
            return
        body = b"[" + b",".join(_shown(hook, one) for one in kept) + b"]"
        for _ in range(2 if self._faults.befall("duplicate", "webhook") else 1):
            if len(self._pending) >= MOST_PENDING:
                self.counts["lost"] += len(kept)
                continue
            late = self._faults.befall("delay", "webhook")
            wait = late.delay if late is not None else 0.0
            task = asyncio.create_task(self._deliver(hook, body, len(kept), wait))
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)

    async def _deliver(self, hook: SimulatedWebhook, body: bytes, size: int, wait: float) -> None:
        await asyncio.sleep(wait)
        for attempt in range(1 + RETRIES):
            if attempt:
                await asyncio.sleep(self._pause)
            status = await self._post(hook, body)
            self.counts["attempts"] += 1
            if 200 <= status < 300:
                self.counts["deliveries"] += 1
                return
            if status == FORBIDDEN:
                break
        self.counts["lost"] += size

    async def _post(self, hook: SimulatedWebhook, body: bytes) -> int:
        """The status; 0 if there was no answer in time."""
        if self._http is None:
            self._http = AsyncHTTPClient(force_instance=True, max_clients=100)
        headers = {"Content-Type": "application/json"}
        if hook.auth_header is not None:
            headers["Authorization"] = hook.auth_header
        try:
            answer = await self._http.fetch(
                hook.url,
                method="POST",
                body=body,
                headers=headers,
                raise_error=False,
                follow_redirects=False,
                connect_timeout=PATIENCE,
                request_timeout=PATIENCE,
            )
        except (HTTPClientError, OSError, ValueError):
            return 0
        return answer.code

    async def stop(self) -> None:
        for task in self._pending:
            task.cancel()
        await asyncio.gather(*self._pending, return_exceptions=True)
        if self._http is not None:
            self._http.close()


def _parsed(body: bytes) -> WebhookSettings:
    try:
        settings = msgspec.json.decode(body, type=WebhookSettings)
        if not settings.url.startswith(("http://", "https://")):
            raise WebhookError(400, "webhookURL must be an http(s) URL")
        if len(settings.addresses) > LARGEST:
            raise WebhookError(400, f"accountAddresses: at most {LARGEST}")
        for address in settings.addresses:
            check_address(address)
    except (msgspec.DecodeError, RpcError) as error:
        raise WebhookError(400, str(error)) from None
    return settings


def _wants(hook: SimulatedWebhook, entry: Entry) -> bool:
    failed = entry.err is not None
    if failed and (hook.type == "enhanced" or hook.txn_status == "success"):
        return False
    return failed or hook.txn_status != "failed"


def _shown(hook: SimulatedWebhook, entry: Entry) -> bytes:
    if hook.type == "raw":
        return b'{"indexWithinBlock":%d,' % entry.position + entry.body
    return msgspec.json.encode(enhanced(entry))
