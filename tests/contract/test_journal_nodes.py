"""What a journal promises that several nodes share."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from backends import SHARED, Place, opened
from test_journal import (
    EVERYTHING,
    NOW,
    OTHER,
    WALLET,
    Ear,
    begun,
    listen,
    numbered,
    trades,
)

from wd_server.journal.base import Entry, Head, Journal, LeaseLost, NewEntry

pytestmark = pytest.mark.parametrize("_places", SHARED, indirect=True, scope="session")
# Who watch at once in one test.
JOINING = 50
# More than goes with an announcement.
MANY = 6000

TwoNodes = Callable[[Callable[[Journal, Journal], Awaitable[None]]], None]


@pytest.fixture
def play_two(place: Place) -> TwoNodes:
    """Run a scenario on the open journals of two nodes."""

    async def life(scenario: Callable[[Journal, Journal], Awaitable[None]]) -> None:
        async with opened(place) as first, opened(place) as second:
            await scenario(first.journal, second.journal)

    return lambda scenario: asyncio.run(life(scenario))


class Subscriber:
    """What one was told, and a wait for it."""

    def __init__(self, journal: Journal, wallet: str = WALLET) -> None:
        self.entries: list[Entry] = []
        self.epoch = 0
        self._news = asyncio.Event()
        self.watch = journal.subscribe(wallet, self._on_append)

    def _on_append(self, epoch: int, entries: Sequence[Entry]) -> None:
        if epoch != self.epoch:
            self.epoch, self.entries = epoch, []
        self.entries += entries
        self._news.set()

    async def until(self, seq: int, epoch: int | None = None) -> None:
        while (epoch or self.epoch) != self.epoch or not self.entries or self.entries[-1].seq < seq:
            self._news.clear()
            await self._news.wait()


def test_subscribers_of_another_node_are_told_every_small_append(play_two: TwoNodes) -> None:
    async def scenario(here: Journal, there: Journal) -> None:
        lease, epoch = await begun(here)
        subscriber = Subscriber(there)
        assert await there.head(WALLET) == Head(epoch, 0, "")
        for first in range(1, 30, 3):
            await here.append(lease, epoch, trades(first, first + 2), b"", NOW)
        await subscriber.until(30)
        assert (subscriber.epoch, subscriber.entries) == (epoch, numbered(1, 30))

    play_two(scenario)


def test_of_a_large_append_they_learn_the_newest_and_can_read_the_rest(play_two: TwoNodes) -> None:
    async def scenario(here: Journal, there: Journal) -> None:
        lease, epoch = await begun(here)
        subscriber = Subscriber(there)
        await there.head(WALLET)
        await here.append(lease, epoch, trades(1, MANY), b"so far", NOW)
        await subscriber.until(MANY)
        assert subscriber.entries == numbered(MANY, MANY)
        assert await there.read(WALLET, epoch, 0, **EVERYTHING) == numbered(1, MANY)
        assert await there.checkpoint(WALLET) == b"so far"

    play_two(scenario)


def test_who_watches_from_another_node_before_looking_at_the_head_learns_of_the_newest(
    play_two: TwoNodes,
) -> None:
    async def scenario(here: Journal, there: Journal) -> None:
        lease, epoch = await begun(here)

        async def write() -> None:
            for number in range(1, 201):
                await here.append(lease, epoch, trades(number, number), b"", NOW)

        async def join() -> None:
            subscriber = Subscriber(there)
            head = await there.head(WALLET)
            assert head is not None
            await writing
            if head.seq < 200:
                await subscriber.until(200)
            # Between those it was told of there may be others, which can be read.
            told = [entry.seq for entry in subscriber.entries]
            assert told == sorted(set(told))
            assert max(told[-1:], default=head.seq) == 200
            rest = await there.read(WALLET, epoch, head.seq, **EVERYTHING)
            assert rest == numbered(head.seq + 1, 200)
            subscriber.watch.close()

        writing = asyncio.ensure_future(write())
        joining = []
        while not writing.done() and len(joining) < JOINING:
            joining.append(asyncio.ensure_future(join()))
            await there.head(OTHER)
        await asyncio.gather(*joining)

    play_two(scenario)


def test_a_lease_is_refused_to_other_nodes_until_it_is_given_back(play_two: TwoNodes) -> None:
    async def scenario(here: Journal, there: Journal) -> None:
        lease, epoch = await begun(here)
        waiting = Ear()
        there.topic(WALLET, waiting)
        await there.head(WALLET)
        assert await there.acquire(WALLET) is None
        assert await there.held(WALLET)
        appending = asyncio.ensure_future(here.append(lease, epoch, trades(1, MANY), b"", NOW))
        await asyncio.sleep(0)
        await here.release(lease)
        assert await waiting.until(1) == ["vacant"]
        later = await there.acquire(WALLET)
        assert later is not None
        assert later.token > lease.token
        await appending
        assert (await there.append(later, epoch, trades(1, 1), b"", NOW)).seq == MANY + 1
        with pytest.raises(LeaseLost):
            await here.append(lease, epoch, trades(1, 1), b"", NOW)

    play_two(scenario)


def test_the_lease_of_a_node_that_closed_is_free_for_others(place: Place) -> None:
    async def scenario() -> None:
        async with opened(place) as here, opened(place) as there:
            _, epoch = await begun(here.journal)
            waiting = Ear()
            there.journal.topic(WALLET, waiting)
            assert await there.journal.acquire(WALLET) is None
            await here.close()
            assert await waiting.until(1) == ["vacant"]
            lease = await there.journal.acquire(WALLET)
            assert lease is not None
            assert (await there.journal.append(lease, epoch, trades(1, 1), b"", NOW)).seq == 1

    asyncio.run(scenario())


def test_what_is_said_on_a_topic_is_heard_on_other_nodes_after_what_was_appended(
    play_two: TwoNodes,
) -> None:
    async def scenario(here: Journal, there: Journal) -> None:
        lease, epoch = await begun(here)
        told, ear, own = listen(there), Ear(), Ear()
        there.topic(WALLET, ear)
        line = here.topic(WALLET, own)
        await asyncio.gather(here.head(WALLET), there.head(WALLET))
        for number in range(1, 11):
            await here.append(lease, epoch, trades(number, number), b"", NOW)
            line.notify(b"%d" % number)
            await ear.until(number)
            assert told[-1] == (epoch, numbered(number, number))
        assert ear.heard == [b"%d" % number for number in range(1, 11)]
        assert own.heard == []

    play_two(scenario)


def test_a_new_epoch_on_one_node_is_a_new_epoch_on_the_other(play_two: TwoNodes) -> None:
    async def scenario(here: Journal, there: Journal) -> None:
        lease, epoch = await begun(here)
        subscriber = Subscriber(there)
        await there.head(WALLET)
        await here.append(lease, epoch, trades(1, 5), b"", NOW)
        await subscriber.until(5)
        later = await here.begin(lease, NOW)
        await here.append(lease, later, [NewEntry("trade", b"new")], b"", NOW)
        await subscriber.until(1, later)
        assert subscriber.entries == [Entry(1, "trade", b"new")]
        assert await there.read(WALLET, epoch, 0, **EVERYTHING) == []

    play_two(scenario)
