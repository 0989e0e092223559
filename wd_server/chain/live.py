"""New transactions of many wallets, the moment the upstream pushes them.

The method depends on the upstream. `transactionSubscribe` brings whole transactions of many wallets
at once; `logsSubscribe` brings the signatures of one wallet, and the transactions are then fetched.
Wallets of an upstream that has neither are polled. The upstream doesn't push what happened before a
subscription began, so the observer is told when each begins: the history has what is missing.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal, Protocol

import msgspec
import structlog
from msgspec import Struct

from wd_server.chain.credits import CONNECTION_CREDITS, Credits
from wd_server.chain.faults import MethodUnavailable
from wd_server.chain.lookups import Lookups
from wd_server.chain.pages import COMMITMENT, MAX_TRANSACTION_VERSION
from wd_server.chain.payloads import (
    UNREADABLE,
    LogsNotification,
    PushedTransaction,
    TransactionNotification,
)
from wd_server.chain.rpc import RpcClient
from wd_server.chain.wallet_groups import WalletGroup, regrouped
from wd_server.chain.websocket import UpstreamSocket, UpstreamSubscription
from wd_server.errors import UpstreamError
from wd_server.tasks import Tasks

# Seconds in which new wallets are gathered, so that they go into one subscription.
GATHER_SECONDS = 0.2
# Seconds for which a wallet that nobody follows any more may be subscribed to, beside others that
# somebody does. To end that sends all the others again: 2 MB for the largest subscription.
TIDY_SECONDS = 60.0
# Seconds until a method that was refused is tried again: plans change.
MODE_SECONDS = 6 * 3600.0
# Seconds until a subscription that was refused for another reason is asked for again.
REFUSED_SECONDS = 60.0

Mode = Literal["transactions", "logs", "none"]

_transactions = msgspec.json.Decoder(TransactionNotification)
_logs = msgspec.json.Decoder(LogsNotification)
_log = structlog.get_logger("upstream")


class PushObserver(Protocol):
    """Receives what is pushed or delivered. Its methods must not block or raise."""

    def follows(self, wallet: str) -> bool:
        """Whether its transactions are of interest."""

    def on_transaction(self, wallet: str, transaction: PushedTransaction) -> None:
        """It may come twice, late, or before others that are earlier on the chain."""

    def on_gap(self, wallets: Iterable[str]) -> None:
        """From now on these wallets are pushed; what happened before may have been missed."""

    def on_lost(self, wallets: Iterable[str]) -> None:
        """These wallets aren't pushed until `on_gap`."""


class PushSource(Protocol):
    """Pushes the transactions of the wallets that are followed."""

    def set_observer(self, observer: PushObserver) -> None:
        """Once, before the first wallet is followed."""

    def follow(self, wallet: str) -> None:
        """Twice is no error."""

    def unfollow(self, wallet: str) -> None:
        """One that isn't followed is no error."""

    def covers(self, wallet: str) -> bool:
        """Whether its transactions are pushed now."""


class LiveStatistics(Struct, frozen=True):
    """`connections`: open now. `notified`: messages that brought something; `unread`: that
    couldn't be read; `breaks`: subscriptions that were lost."""

    mode: Mode
    connections: int
    subscriptions: int
    notified: int
    unread: int
    breaks: int


class LiveTransactions:
    """`connections_max`: WebSockets that the plan allows. `followed`: the wallets; `changed` is
    called when they are others."""

    def __init__(
        self,
        url: str,
        rpc: RpcClient,
        account: Credits,
        *,
        connections_max: int,
        socket: Callable[..., UpstreamSocket] = UpstreamSocket,
        tasks: Tasks | None = None,
    ) -> None:
        self._url = url
        self._account = account
        self._connections_max = connections_max
        self.changed: Callable[[], None] = lambda: None
        self._make_socket = socket
        self._tasks = tasks or Tasks()
        self._lookups = Lookups(rpc, self._on_found, self._on_missed, tasks=self._tasks)
        self._observer: PushObserver | None = None
        self._mode: Mode = "transactions"
        self._mode_at = time.monotonic()
        self.followed: set[str] = set()
        self._newcomers: set[str] = set()
        self._covered: dict[str, UpstreamSubscription] = {}
        self._groups: dict[UpstreamSubscription, WalletGroup] = {}
        self._replaced: dict[UpstreamSubscription, list[UpstreamSubscription]] = {}
        self._sockets: dict[UpstreamSocket, None] = {}
        self._places: dict[UpstreamSubscription, UpstreamSocket] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._tidying: asyncio.TimerHandle | None = None
        self._notified = self._unread = self._breaks = 0

    def statistics(self) -> LiveStatistics:
        return LiveStatistics(
            self._mode,
            sum(socket.is_open for socket in self._sockets),
            len(self._places),
            self._notified,
            self._unread + self._lookups.unread,
            self._breaks,
        )

    def set_observer(self, observer: PushObserver) -> None:
        self._observer = observer

    def covers(self, wallet: str) -> bool:
        return wallet in self._covered

    def follow(self, wallet: str) -> None:
        if wallet in self.followed:
            return
        self.followed.add(wallet)
        self.changed()
        if self._connections_max:
            self._newcomers.add(wallet)
            self._gather(GATHER_SECONDS)

    def unfollow(self, wallet: str) -> None:
        if wallet not in self.followed:
            return
        self.followed.discard(wallet)
        self.changed()
        self._newcomers.discard(wallet)
        self._covered.pop(wallet, None)
        # It may be in several: one that stands, and one that is asked for in its place.
        for group in self._groups.values():
            if wallet in group.wallets:
                group.gone.add(wallet)
                if group.is_waste:
                    self._gather(GATHER_SECONDS)
                elif self._tidying is None:
                    loop = asyncio.get_running_loop()
                    self._tidying = loop.call_later(TIDY_SECONDS, self._tidy)

    async def close(self) -> None:
        for timer in (self._timer, self._tidying):
            if timer is not None:
                timer.cancel()
        await self._lookups.close()
        for socket in self._sockets:
            await socket.close()

    # Which wallets are in which subscription.

    def _gather(self, seconds: float) -> None:
        """Regroup after at most so many seconds: a new wallet isn't kept waiting because another
        was refused."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if self._timer.when() <= loop.time() + seconds:
                return
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._gathered)

    def _tidy(self) -> None:
        self._tidying = None
        self._regroup(tidy=True)

    def _gathered(self) -> None:
        self._timer = None
        self._regroup()

    def _take_newcomers(self) -> set[str]:
        newcomers, self._newcomers = self._newcomers, set()
        return newcomers

    def _regroup(self, *, tidy: bool = False) -> None:
        if self._mode != "transactions" and time.monotonic() - self._mode_at >= MODE_SECONDS:
            self._mode, self._mode_at = "transactions", time.monotonic()
        if self._mode == "transactions":
            self._regroup_many(self._take_newcomers(), tidy=tidy)
        else:
            for subscription, group in list(self._groups.items()):
                if group.is_waste or (tidy and group.gone):
                    self._end(subscription)
                    self._newcomers |= self._unasked  # of one that is left from a better mode
            if self._mode == "logs":
                for wallet in sorted(self._take_newcomers()):
                    self._begin(WalletGroup([wallet]))

    def _regroup_many(self, newcomers: Iterable[str], *, tidy: bool) -> None:
        standing = {group: each for each, group in self._groups.items()}
        under_way = {each for ended in self._replaced.values() for each in ended}
        groups = [group for group, each in standing.items() if each not in under_way]
        made, replaced = regrouped(groups, newcomers, tidy=tidy)
        ended = [standing[group] for group in replaced]
        for group in made:
            subscription = self._begin(group)
            if subscription is not None:
                self._replaced[subscription], ended = ended, []
        for subscription in ended:  # nothing came in their place
            self._end(subscription)

    def _begin(self, group: WalletGroup) -> UpstreamSubscription | None:
        socket = self._with_room()
        if socket is None:  # they are polled until somebody makes room
            self._newcomers |= group.wallets
            return None
        if self._mode == "transactions":
            subscription = UpstreamSubscription("transactionSubscribe", _many(group), group.wallets)
        else:
            (wallet,) = group.wallets
            options: list[object] = [{"mentions": [wallet]}, {"commitment": COMMITMENT}]
            subscription = UpstreamSubscription("logsSubscribe", options, group.wallets)
        self._groups[subscription] = group
        self._places[subscription] = socket
        socket.subscribe(subscription)
        return subscription

    def _end(self, subscription: UpstreamSubscription) -> None:
        if subscription not in self._groups:
            return
        self._places.pop(subscription).unsubscribe(subscription)
        del self._groups[subscription]
        for wallet in subscription.wallets:
            if self._covered.get(wallet) is subscription:
                del self._covered[wallet]
        for each in self._replaced.pop(subscription, ()):  # what replaces this does for them
            self._end(each)
        if self._newcomers:  # there may be room for them now
            self._gather(GATHER_SECONDS)

    def _with_room(self) -> UpstreamSocket | None:
        for socket in self._sockets:
            if socket.room:
                return socket
        if len(self._sockets) >= self._connections_max:
            return None
        socket = self._make_socket(self._url, self, tasks=self._tasks)
        self._sockets[socket] = None
        return socket

    # SocketObserver.

    def on_connected(self) -> None:
        self._account.spend("websocket_connection", CONNECTION_CREDITS)

    def on_subscribed(self, subscription: UpstreamSubscription) -> None:
        wanted = self._groups[subscription].wanted
        begun = [wallet for wallet in wanted if wallet not in self._covered]
        self._covered.update(dict.fromkeys(wanted, subscription))
        for ended in self._replaced.pop(subscription, ()):
            self._end(ended)
        self._tell_gap(begun)

    def on_refused(self, subscription: UpstreamSubscription, error: UpstreamError) -> None:
        del self._groups[subscription], self._places[subscription]
        self._replaced.pop(subscription, None)
        self._newcomers |= self._unasked
        _log.warning("a subscription was refused", method=subscription.method, error=error.message)
        if isinstance(error, MethodUnavailable) and self._is_of_mode(subscription):
            self._mode = "logs" if self._mode == "transactions" else "none"
            self._mode_at = time.monotonic()
            self._gather(MODE_SECONDS if self._mode == "none" else 0)
        elif self._mode != "none":
            self._gather(REFUSED_SECONDS)

    @property
    def _unasked(self) -> set[str]:
        """Followed wallets that are in no subscription, and in none that is asked for."""
        return self.followed.difference(*(group.wanted for group in self._groups.values()))

    def _is_of_mode(self, subscription: UpstreamSubscription) -> bool:
        """The refused method is the one in use, not one that was left meanwhile."""
        return subscription.method.startswith("logs") == (self._mode == "logs")

    def on_lost(self, subscriptions: Sequence[UpstreamSubscription]) -> None:
        self._breaks += len(subscriptions)
        lost = [
            wallet
            for subscription in subscriptions
            for wallet in subscription.wallets
            if self._covered.get(wallet) is subscription
        ]
        for wallet in lost:
            del self._covered[wallet]
        if self._observer is not None:
            self._observer.on_lost(lost)

    def on_notified(self, subscription: UpstreamSubscription, message: str | bytes) -> None:
        """A message that can't be read or worked on costs only the wallets of its subscription."""
        self._account.spend_bytes(len(message))
        read = partial(self._read_notification, subscription, message)
        if not self._tasks.attempt("notification", read, method=subscription.method):
            self._leave_unread(subscription)

    def _read_notification(self, subscription: UpstreamSubscription, message: str | bytes) -> None:
        try:
            if subscription.method == "logsSubscribe":
                self._on_logs(subscription, _logs.decode(message))
            else:
                transaction = _transactions.decode(message).transaction
                wallets = transaction.parties() & self.followed
                self._notified += 1
                self._on_found(transaction, sorted(wallets))
        except UNREADABLE:
            self._leave_unread(subscription)

    def _leave_unread(self, subscription: UpstreamSubscription) -> None:
        self._unread += 1
        self._tell_gap(self._groups[subscription].wanted)

    def _on_logs(self, subscription: UpstreamSubscription, notification: LogsNotification) -> None:
        self._notified += 1
        value = notification.params.result.value
        if value.err is None:  # one that failed is counted when the history is read
            for wallet in subscription.wallets:
                self._lookups.look_up(value.signature, wallet)

    def _on_found(self, transaction: PushedTransaction, wallets: Sequence[str]) -> None:
        if self._observer is None:
            return
        for wallet in wallets:
            push = partial(self._observer.on_transaction, wallet, transaction)
            if not self._tasks.attempt("push", push, wallet=wallet):
                self._tell_gap((wallet,))  # the history has it

    def _on_missed(self, wallets: Sequence[str]) -> None:
        self._tell_gap(wallets)

    def _tell_gap(self, wallets: Iterable[str]) -> None:
        if self._observer is not None:
            self._observer.on_gap(wallets)


def _many(group: WalletGroup) -> list[dict[str, Any]]:
    return [
        {
            "accountInclude": sorted(group.wallets),
            "vote": False,
            "failed": False,
            "tokenAccounts": "balanceChanged",
        },
        {
            "commitment": COMMITMENT,
            "encoding": "jsonParsed",
            "transactionDetails": "full",
            "showRewards": False,
            "maxSupportedTransactionVersion": MAX_TRANSACTION_VERSION,
        },
    ]
