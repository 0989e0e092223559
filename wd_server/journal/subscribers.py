"""Who on this node is told of a wallet's entries, and who has its topic open."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from wd_server.journal.base import Entry, JournalSubscription, OnAppend, Topic, TopicListener

Send = Callable[[str, bytes, bytes], None]
"""Tell others on a wallet's topic: the wallet, who says it, what."""


@dataclass(slots=True)
class _Wallet:
    """One wallet's."""

    subscribers: list["_Subscription"] = field(default_factory=list)
    topics: list["_Topic"] = field(default_factory=list)


class LocalSubscribers:
    """`node` makes the names of topics differ from those of other nodes. `opened` is called for a
    wallet before its first subscription or topic is there, `closed` after the last one is gone."""

    def __init__(
        self,
        node: str = "",
        opened: Callable[[str], None] = lambda wallet: None,
        closed: Callable[[str], None] = lambda wallet: None,
    ) -> None:
        self._node = node
        self._opened = opened
        self._closed = closed
        self._wallets: dict[str, _Wallet] = {}
        self._names = count()

    def __contains__(self, wallet: str) -> bool:
        return wallet in self._wallets

    def subscribe(self, wallet: str, on_append: OnAppend) -> JournalSubscription:
        subscription = _Subscription(self, wallet, on_append)
        here = self._wallet(wallet)
        here.subscribers = [*here.subscribers, subscription]
        return subscription

    def topic(self, wallet: str, listener: TopicListener, send: Send) -> Topic:
        topic = _Topic(self, wallet, listener, send, f"{self._node}/{next(self._names)}".encode())
        here = self._wallet(wallet)
        here.topics = [*here.topics, topic]
        return topic

    def tell(self, wallet: str, epoch: int, entries: Sequence[Entry]) -> None:
        for subscription in self._now(wallet).subscribers:
            if subscription.closed:  # by a subscriber told before it
                continue
            try:
                subscription.on_append(epoch, entries)
            except Exception as error:  # noqa: BLE001 - a bug of the subscriber, not of who appended
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "A journal's subscriber raised", "exception": error}
                )

    def notice(self, wallet: str, sender: bytes, notice: bytes) -> None:
        """Somebody on the topic said something; all others hear it."""
        for topic in self._now(wallet).topics:
            if not topic.closed and topic.name != sender:
                topic.listener.on_notice(notice)

    def vacant(self, wallet: str) -> None:
        for topic in self._now(wallet).topics:
            if not topic.closed:
                topic.listener.on_vacant()

    def close(self, closing: "_Subscription | _Topic") -> None:
        if closing.closed:
            return
        closing.closed = True
        here = self._wallets[closing.wallet]
        here.subscribers = [
            subscription for subscription in here.subscribers if subscription is not closing
        ]
        here.topics = [topic for topic in here.topics if topic is not closing]
        if not (here.subscribers or here.topics):
            del self._wallets[closing.wallet]
            self._closed(closing.wallet)

    def _wallet(self, wallet: str) -> _Wallet:
        here = self._wallets.get(wallet)
        if here is None:
            self._opened(wallet)
            here = self._wallets[wallet] = _Wallet()
        return here

    def _now(self, wallet: str) -> _Wallet:
        """Its lists stay as they are, whoever closes meanwhile."""
        here = self._wallets.get(wallet)
        if here is None:
            return _Wallet()
        return _Wallet(here.subscribers, here.topics)


class _Subscription:
    __slots__ = ("_subscribers", "closed", "on_append", "wallet")

    def __init__(self, subscribers: LocalSubscribers, wallet: str, on_append: OnAppend) -> None:
        self._subscribers = subscribers
        self.wallet = wallet
        self.on_append = on_append
        self.closed = False

    def close(self) -> None:
        self._subscribers.close(self)


class _Topic:
    __slots__ = ("_send", "_subscribers", "closed", "listener", "name", "wallet")

    def __init__(
        self,
        subscribers: LocalSubscribers,
        wallet: str,
        listener: TopicListener,
        send: Send,
        name: bytes,
    ) -> None:
        self._subscribers = subscribers
        self._send = send
        self.wallet = wallet
        self.listener = listener
        self.name = name
        self.closed = False

    def notify(self, notice: bytes) -> None:
        self._send(self.wallet, self.name, notice)

    def close(self) -> None:
        self._subscribers.close(self)
