"""What this node hears of wallets from Redis, and tells those who listen here."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec
import structlog

from wd_server.errors import StoreUnavailable, WrittenByNewer
from wd_server.events.ids import EventId
from wd_server.journal.base import (
    Entry,
    Head,
    JournalSubscription,
    NewEntry,
    OnAppend,
    Topic,
    TopicListener,
)
from wd_server.journal.integrity import Damaged, check_entry, check_follows
from wd_server.journal.subscribers import LocalSubscribers
from wd_server.redis import journal_scripts as scripts
from wd_server.redis.announcements import Announcements
from wd_server.redis.errors import away
from wd_server.redis.leases import Leases
from wd_server.redis.link import RedisLink
from wd_server.redis.shards import STORE_SECONDS

# Bytes of entries that go with their announcement: about 20 trades and some movements, as much as a
# wallet in full swing does between two looks. Of more, others read what they want of it.
ANNOUNCED_BYTES = 32 * 1024
# Wallets whose head is looked at again at a time, after a connection was lost.
CATCH_UPS = 256
# Seconds before that is tried again.
CATCH_UP_AGAIN_SECONDS = 1.0
# Things said on topics that are on their way; more are dropped, as a lost connection drops them.
SAYING_MAX = 10_000

NOWHERE: Final = EventId(0, 0)

_log = structlog.get_logger("journal")

_blob: Final = msgspec.msgpack.Encoder()
_unblob: Final = msgspec.msgpack.Decoder(tuple[str, int, list[NewEntry]])


@dataclass(slots=True, eq=False)
class _Heard:
    """A wallet that is listened to. `told`: the newest entry that subscribers were told of.
    `ready`: its announcements come, and this was the head then."""

    ready: asyncio.Future[Head | None]
    told: EventId = NOWHERE


class Feed:
    def __init__(self, link: RedisLink, node: str, leases: Leases, keep_seconds: int) -> None:
        self._link = link
        self._leases = leases
        self._keep_seconds = keep_seconds
        self._subscribers = LocalSubscribers(node, self._listen, self._listen_no_more)
        self._announcements = Announcements(
            link.shards, self._announced, self._subscribed, link.tasks
        )
        self._heard: dict[str, _Heard] = {}
        self._catch_ups = asyncio.Semaphore(CATCH_UPS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        # Epochs that were given up here.
        self.damaged = 0

    async def close(self) -> None:
        """Closing twice is no error."""
        self._closed = True
        await self._announcements.close()
        await self._link.tasks.end(*self._tasks)

    def subscribe(self, wallet: str, on_append: OnAppend) -> JournalSubscription:
        return self._subscribers.subscribe(wallet, on_append)

    def topic(self, wallet: str, listener: TopicListener) -> Topic:
        return self._subscribers.topic(wallet, listener, self._say)

    async def head(self, wallet: str) -> Head | None:
        """The newest entry; what is appended from then on is told to whoever listens."""
        heard = self._heard.get(wallet)
        if heard is not None and not heard.ready.done():
            try:
                async with asyncio.timeout(STORE_SECONDS):
                    return await asyncio.shield(heard.ready)
            except TimeoutError:
                raise away() from None
        key = scripts.keys(wallet)[0]
        return _head(*await self._link.call(key, "HMGET", key, "r", "s", "k"))

    def told(self, wallet: str) -> EventId:
        """The newest entry that anybody here was told of."""
        heard = self._heard.get(wallet)
        return NOWHERE if heard is None else heard.told

    def tell(self, wallet: str, epoch: int, entries: Sequence[Entry]) -> None:
        """Each entry once, however often it is heard of."""
        heard = self._heard.get(wallet)
        if heard is None:
            return
        new = [entry for entry in entries if (epoch, entry.seq) > heard.told]
        if new:
            heard.told = EventId(epoch, new[-1].seq)
            self._subscribers.tell(wallet, epoch, new)

    def vacant(self, wallet: str) -> None:
        self._subscribers.vacant(wallet)

    # What is said

    def _say(self, wallet: str, sender: bytes, notice: bytes) -> None:
        if not self._closed and len(self._tasks) < SAYING_MAX:
            message = scripts.SAID + sender + b" " + notice
            publishing = self._publish(scripts.keys(wallet)[0], message)
            self._own(self._link.tasks.spawn("announcing", publishing))

    async def _publish(self, channel: str, message: bytes) -> None:
        with suppress(StoreUnavailable):  # what is said may get lost
            await self._link.call(channel, "SPUBLISH", channel, message)

    def _listen(self, wallet: str) -> None:
        self._heard[wallet] = _Heard(asyncio.get_running_loop().create_future())
        self._announcements.subscribe(scripts.keys(wallet)[0])

    def _listen_no_more(self, wallet: str) -> None:
        heard = self._heard.pop(wallet)
        _settle(heard.ready, _gone())
        self._announcements.unsubscribe(scripts.keys(wallet)[0])
        self._leases.forget(wallet)

    def _subscribed(self, channel: str) -> None:
        catch_up = partial(self._catch_up, scripts.wallet(channel))
        self._own(self._link.tasks.keep("catch_up", catch_up))

    async def _catch_up(self, wallet: str) -> None:
        """Tell what was appended while nothing was heard of this wallet."""
        heard = self._heard.get(wallet)
        while heard is not None and self._heard.get(wallet) is heard:
            try:
                async with self._catch_ups:
                    head = await self._look(wallet, heard)
            except StoreUnavailable as error:
                _settle(heard.ready, error)
                await asyncio.sleep(CATCH_UP_AGAIN_SECONDS)
            else:
                _settle(heard.ready, head)
                return

    async def _look(self, wallet: str, heard: _Heard) -> Head | None:
        told = heard.told
        epoch, seq, kind, *newest = await self._link.run(
            scripts.CATCH_UP, scripts.keys(wallet), (*told, self._keep_seconds)
        )
        head = _head(epoch, seq, kind)
        if head is None and told != NOWHERE and not self._leases.over(wallet, int(seq)):
            self._subscribers.vacant(wallet)  # it was lost, and has to be read anew
        # Where announcements came meanwhile, those up to this head come too, or came.
        if head is None or not newest:
            return head
        try:
            entry = entry_of(newest[0], newest[1], head.seq - 1) if newest[0] else None
            if entry is None or newest[0] != b"%b-%b" % (epoch, seq):
                raise Damaged(f"entry {head.seq} is missing")
        except Damaged as damage:
            await self.discard(wallet, head.epoch, damage)
            return None
        if heard.told == told:
            self.tell(wallet, head.epoch, [entry])
        return head

    async def discard(self, wallet: str, epoch: int, damage: Damaged) -> None:
        """Give this epoch up if it is the current one: all nodes are told that leases on it are
        over, and whoever has the wallet read begins anew. Raises StoreUnavailable: WrittenByNewer
        for entries that this server doesn't understand."""
        arguments = (epoch, self._keep_seconds, scripts.FORMAT)
        token = await self._link.run(scripts.DISCARD, scripts.keys(wallet), arguments)
        if token == scripts.NEWER:
            raise WrittenByNewer
        if not token:
            return
        _log.error("journal damaged", wallet=wallet, epoch=epoch, reason=damage.reason)
        self.damaged += 1
        if not self._leases.over(wallet, int(token)):
            self._subscribers.vacant(wallet)

    def _announced(self, channel: str, message: bytes) -> None:
        wallet, kind, rest = scripts.wallet(channel), message[:1], message[1:]
        if kind == scripts.APPENDED:
            epoch, seq, blob = rest.split(b" ", 2)
            self._appended(wallet, int(epoch), int(seq), *_unblob.decode(blob))
        elif kind == scripts.SAID:
            sender, _, notice = rest.partition(b" ")
            self._subscribers.notice(wallet, sender, notice)
        elif kind == scripts.VACANT:
            if self._leases.forget(wallet):
                self._subscribers.vacant(wallet)
        elif kind == scripts.OVER:
            self._leases.over(wallet, int(rest))

    def _appended(
        self, wallet: str, epoch: int, seq: int, holder: str, request: int, new: list[NewEntry]
    ) -> None:
        held = self._leases.of(wallet)
        if held is not None and held.holder == holder and request in held.in_flight:
            return  # its answer will be told
        first = seq - len(new) + 1
        self.tell(wallet, epoch, [Entry(n, *entry) for n, entry in enumerate(new, first)])

    def _own(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _head(epoch: bytes | None, seq: bytes | None, kind: bytes | None) -> Head | None:
    return Head(int(epoch), int(seq or 0), (kind or b"").decode()) if epoch else None


def entry_of(stream_id: bytes, fields: list[bytes], after: int) -> Entry:
    """An entry of a stream: `k` kind `p` payload, and `c` checksum since 0.2.0. Raises Damaged if
    it isn't the one that follows `after` as it was appended."""
    seq = int(stream_id.partition(b"-")[2])
    check_follows(seq, after)
    try:
        _, kind, _, payload, *rest = fields
        entry = Entry(seq, kind.decode(), payload)
        stored = int(rest[1]) if rest else None
    except (ValueError, IndexError):
        raise Damaged(f"entry {seq} has other fields than it was stored with") from None
    check_entry(*entry, stored)
    return entry


def announcement(holder: str, request: int, new: Sequence[NewEntry]) -> bytes:
    """All of the new entries where they are few, else the newest. Raises TypeError for a payload
    that isn't bytes."""
    size = sum(memoryview(entry.payload).nbytes for entry in new)
    return _blob.encode((holder, request, new if size <= ANNOUNCED_BYTES else new[-1:]))


def _settle(ready: asyncio.Future[Head | None], outcome: Head | StoreUnavailable | None) -> None:
    if ready.done():
        return
    if isinstance(outcome, StoreUnavailable):
        ready.set_exception(outcome)
        ready.exception()  # nobody has to be waiting for it
    else:
        ready.set_result(outcome)


def _gone() -> StoreUnavailable:
    return StoreUnavailable("Nobody listens to this wallet any more.")
