"""The promises of `wd_server.journal.base`, kept by every journal."""

import asyncio
from collections.abc import Sequence
from time import monotonic

import pytest
from backends import Place, Play

from wd_server.errors import StoreUnavailable
from wd_server.events.ids import EVENT_ID_PART_MAX
from wd_server.journal.base import Entry, Head, Journal, Lease, LeaseLost, NewEntry

WALLET = "7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU"
OTHER = "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM"
NOW = 1_700_000_000.25
# Subscribers that read everything at once: more would only wait for each other on a slow machine.
JOINING_MAX = 200
EVERYTHING = {"limit": 100_000, "max_bytes": 10**9}

Told = list[tuple[int, list[Entry]]]


def trades(first: int, last: int) -> list[NewEntry]:
    return [NewEntry("trade", b'{"n":%d}' % number) for number in range(first, last + 1)]


def numbered(first: int, last: int) -> list[Entry]:
    return [Entry(seq, "trade", b'{"n":%d}' % seq) for seq in range(first, last + 1)]


async def begun(journal: Journal, wallet: str = WALLET) -> tuple[Lease, int]:
    lease = await journal.acquire(wallet)
    assert lease is not None
    return lease, await journal.begin(lease, NOW)


def listen(journal: Journal, wallet: str = WALLET) -> Told:
    told: Told = []
    journal.subscribe(wallet, lambda epoch, entries: told.append((epoch, list(entries))))
    return told


# 1. Stored together or not at all


def test_what_append_returned_for_is_read_back_as_it_was(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        head = await journal.append(lease, epoch, trades(1, 3), b"so far", NOW)
        assert head == Head(epoch, 3, "trade")
        assert await journal.head(WALLET) == head
        assert await journal.read(WALLET, epoch, 0, **EVERYTHING) == numbered(1, 3)
        assert await journal.checkpoint(WALLET) == b"so far"

    play(scenario)


def test_payloads_of_any_bytes_and_kinds_of_any_text_survive(play: Play) -> None:
    hostile = [
        NewEntry("trade", b"\x00\xff,;\n\r\"'\xc3("),
        NewEntry("", b""),
        NewEntry('k"\x01,;\n é😀', b""),
        NewEntry("large", b"x" * 3_000_000),
        NewEntry("null", b"\x00"),
        NewEntry("after", b""),
    ]

    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        await journal.append(lease, epoch, hostile, b"\x00\xff", NOW)
        assert await journal.read(WALLET, epoch, 0, **EVERYTHING) == [
            Entry(seq, *entry) for seq, entry in enumerate(hostile, 1)
        ]
        assert await journal.head(WALLET) == Head(epoch, 6, "after")
        assert await journal.checkpoint(WALLET) == b"\x00\xff"

    play(scenario)


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 1023, 5000])
def test_a_batch_of_any_size_is_stored_whole(play: Play, count: int) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        await journal.append(lease, epoch, trades(1, 2), b"", NOW)
        head = await journal.append(lease, epoch, trades(3, 2 + count), b"", NOW)
        assert head.seq == 2 + count
        assert await journal.read(WALLET, epoch, 0, **EVERYTHING) == numbered(1, 2 + count)

    play(scenario)


def test_an_append_without_entries_stores_only_the_checkpoint_and_tells_nobody(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        told = listen(journal)
        assert await journal.append(lease, epoch, [], b"first", NOW) == Head(epoch, 0, "")
        head = await journal.append(lease, epoch, trades(1, 1), b"second", NOW)
        assert await journal.append(lease, epoch, [], b"third", NOW) == head
        assert await journal.checkpoint(WALLET) == b"third"
        assert told == [(epoch, numbered(1, 1))]

    play(scenario)


def test_an_append_that_cannot_be_stored_takes_none_of_the_others_with_it(play: Play) -> None:
    unstorable = [*trades(2, 3), NewEntry("trade", "no bytes")]  # type: ignore[arg-type]

    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        other, other_epoch = await begun(journal, OTHER)
        outcomes = await asyncio.gather(
            journal.append(lease, epoch, trades(1, 1), b"1", NOW),
            journal.append(lease, epoch, unstorable, b"2", NOW),
            journal.append(lease, epoch, trades(2, 2), b"3", NOW),
            journal.append(other, other_epoch, trades(1, 1), b"4", NOW),
            return_exceptions=True,
        )
        assert [isinstance(outcome, Head) for outcome in outcomes] == [True, False, True, True]
        assert await journal.read(WALLET, epoch, 0, **EVERYTHING) == numbered(1, 2)
        assert await journal.read(OTHER, other_epoch, 0, **EVERYTHING) == numbered(1, 1)
        assert await journal.checkpoint(WALLET) == b"3"

    play(scenario)


def test_appends_handed_in_at_once_are_stored_in_the_order_of_the_calls(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        heads = await asyncio.gather(
            *(journal.append(lease, epoch, trades(n, n), b"%d" % n, NOW) for n in range(1, 301))
        )
        assert [head.seq for head in heads] == list(range(1, 301))
        assert await journal.read(WALLET, epoch, 0, **EVERYTHING) == numbered(1, 300)
        assert await journal.checkpoint(WALLET) == b"300"

    play(scenario)


def test_changing_the_list_after_handing_it_in_changes_nothing(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        entries = trades(1, 3)
        appending = asyncio.ensure_future(journal.append(lease, epoch, entries, b"", NOW))
        await asyncio.sleep(0)
        entries.clear()
        await appending
        assert await journal.read(WALLET, epoch, 0, **EVERYTHING) == numbered(1, 3)

    play(scenario)


def test_a_cancelled_append_is_stored_whole_or_not_at_all_and_subscribers_agree(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        told = listen(journal)
        appending = asyncio.ensure_future(journal.append(lease, epoch, trades(1, 50), b"50", NOW))
        await asyncio.sleep(0)
        appending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await appending
        head = await journal.append(lease, epoch, [], b"", NOW)
        assert head.seq in (0, 50)
        entries = await journal.read(WALLET, epoch, 0, **EVERYTHING)
        assert entries == numbered(1, head.seq)
        assert told == ([(epoch, entries)] if entries else [])

    play(scenario)


# 2. Leases


def test_a_lease_is_refused_while_another_has_it(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease = await journal.acquire(WALLET)
        assert lease is not None
        assert await journal.acquire(WALLET) is None
        assert await journal.acquire(OTHER) is not None
        await journal.renew(lease)
        assert await journal.acquire(WALLET) is None

    play(scenario)


def test_a_newer_lease_has_a_greater_token(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        tokens = []
        for _ in range(3):
            lease = await journal.acquire(WALLET)
            assert lease is not None
            tokens.append(lease.token)
            await journal.release(lease)
        assert tokens == sorted(set(tokens))

    play(scenario)


def test_whoever_lost_the_lease_stores_nothing(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        old, epoch = await begun(journal)
        await journal.append(old, epoch, trades(1, 1), b"1", NOW)
        await journal.release(old)
        for holder in (None, await journal.acquire(WALLET)):
            for attempt in (
                journal.append(old, epoch, trades(2, 2), b"2", NOW),
                journal.append(old, epoch, [], b"2", NOW),
                journal.begin(old, NOW),
                journal.renew(old),
            ):
                with pytest.raises(LeaseLost):
                    await attempt
            if holder is not None:
                await journal.renew(holder)
        assert await journal.head(WALLET) == Head(epoch, 1, "trade")
        assert await journal.checkpoint(WALLET) == b"1"

    play(scenario)


def test_releasing_twice_or_late_is_no_error_and_harms_nobody(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        old = await journal.acquire(WALLET)
        assert old is not None
        await journal.release(old)
        await journal.release(old)
        holder = await journal.acquire(WALLET)
        assert holder is not None
        await journal.release(old)
        await journal.renew(holder)

    play(scenario)


def test_nobody_gets_a_lease_before_what_the_last_holder_handed_in_is_stored(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        old, epoch = await begun(journal)
        appending = asyncio.ensure_future(journal.append(old, epoch, trades(1, 5000), b"", NOW))
        await asyncio.sleep(0)
        releasing = asyncio.ensure_future(journal.release(old))
        while (lease := await journal.acquire(WALLET)) is None:
            await journal.head(OTHER)
        assert await journal.head(WALLET) == Head(epoch, 5000, "trade")
        await asyncio.gather(appending, releasing)
        head = await journal.append(lease, epoch, trades(5001, 5001), b"", NOW)
        assert head.seq == 5001

    play(scenario)


def test_a_release_that_is_cancelled_gives_the_lease_back_no_sooner(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        appending = asyncio.ensure_future(journal.append(lease, epoch, trades(1, 5000), b"", NOW))
        releasing = asyncio.ensure_future(journal.release(lease))
        await asyncio.sleep(0)
        releasing.cancel()
        while await journal.acquire(WALLET) is None:
            await asyncio.wait((releasing, appending), return_when=asyncio.FIRST_COMPLETED)
            await journal.head(OTHER)
        assert await journal.head(WALLET) == Head(epoch, 5000, "trade")
        await appending

    play(scenario)


def test_an_append_to_an_epoch_that_is_over_is_a_lost_lease(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, first = await begun(journal)
        second = await journal.begin(lease, NOW)
        for epoch in (first, second + 1, 0):
            with pytest.raises(LeaseLost):
                await journal.append(lease, epoch, trades(1, 1), b"old", NOW)
        assert await journal.head(WALLET) == Head(second, 0, "")
        assert await journal.checkpoint(WALLET) is None

    play(scenario)


def test_an_append_to_a_wallet_without_an_epoch_is_a_lost_lease(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease = await journal.acquire(WALLET)
        assert lease is not None
        with pytest.raises(LeaseLost):
            await journal.append(lease, 1, trades(1, 1), b"", NOW)
        assert await journal.head(WALLET) is None

    play(scenario)


# 3. Reading


def test_a_wallet_never_written_has_no_head_no_checkpoint_and_no_entries(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        await begun(journal, OTHER)
        assert await journal.head(WALLET) is None
        assert await journal.checkpoint(WALLET) is None
        assert await journal.read(WALLET, 1, 0, **EVERYTHING) == []

    play(scenario)


def test_pages_of_any_size_add_up_to_the_whole_without_a_hole(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        await journal.append(lease, epoch, trades(1, 997), b"", NOW)
        for limit, max_bytes in ((1, 10**9), (7, 10**9), (997, 10**9), (500, 100), (500, 1)):
            entries: list[Entry] = []
            while page := await journal.read(WALLET, epoch, len(entries), limit, max_bytes):
                assert len(page) <= limit
                entries += page
            assert entries == numbered(1, 997)

    play(scenario)


def test_a_page_ends_with_the_entry_that_reaches_max_bytes_and_has_at_least_one(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        await journal.append(lease, epoch, [NewEntry("trade", b"x" * 10)] * 5, b"", NOW)

        async def count(after: int, max_bytes: int) -> int:
            return len(await journal.read(WALLET, epoch, after, 100, max_bytes))

        assert [await count(0, size) for size in (0, 1, 9, 10, 11, 20, 21, 49)] == [
            1, 1, 1, 1, 2, 2, 3, 5,
        ]  # fmt: skip
        assert [await count(3, size) for size in (0, 10, 11, 50)] == [1, 1, 2, 2]

    play(scenario)


def test_reading_from_the_head_or_beyond_gives_nothing(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        await begun(journal, OTHER)
        await journal.append(lease, epoch, trades(1, 3), b"", NOW)
        for after in (3, 4, 2**32, EVENT_ID_PART_MAX):
            assert await journal.read(WALLET, epoch, after, **EVERYTHING) == []
        assert await journal.read(WALLET, epoch, 0, 0, 100) == []
        assert await journal.read(WALLET, epoch, 2, EVENT_ID_PART_MAX, 2**60) == numbered(3, 3)

    play(scenario)


def test_an_epoch_that_is_not_the_current_one_reads_as_empty(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        await journal.append(lease, epoch, trades(1, 3), b"", NOW)
        for other in (0, epoch - 1, epoch + 1, EVENT_ID_PART_MAX):
            assert await journal.read(WALLET, other, 0, **EVERYTHING) == []

    play(scenario)


def test_wallets_are_kept_apart(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        first, first_epoch = await begun(journal)
        second, second_epoch = await begun(journal, OTHER)
        for number in range(1, 4):
            await journal.append(first, first_epoch, trades(number, number), b"a", NOW)
            await journal.append(
                second, second_epoch, [NewEntry("other", b"%d" % number)], b"b", NOW
            )
        assert await journal.read(WALLET, first_epoch, 0, **EVERYTHING) == numbered(1, 3)
        assert await journal.read(WALLET, second_epoch, 0, **EVERYTHING) == []
        assert [entry.payload for entry in await journal.read(OTHER, second_epoch, 0, **EVERYTHING)]
        assert await journal.checkpoint(WALLET) == b"a"
        assert await journal.checkpoint(OTHER) == b"b"

    play(scenario)


def test_readers_beside_a_writer_always_see_a_prefix(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)

        async def write() -> None:
            for first in range(1, 1001, 10):
                await journal.append(lease, epoch, trades(first, first + 9), b"", NOW)

        async def follow() -> None:
            entries: list[Entry] = []
            while len(entries) < 1000:
                head = await journal.head(WALLET)
                page = await journal.read(WALLET, epoch, len(entries), 64, 10**9)
                assert head is not None
                assert len(entries) + len(page) >= min(head.seq, len(entries) + 64)
                entries += page
            assert entries == numbered(1, 1000)

        await asyncio.gather(write(), follow(), follow(), follow())

    play(scenario)


# Runs


def test_a_new_epoch_starts_empty_and_greater_than_every_earlier_one(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        await journal.append(lease, epoch, trades(1, 600), b"old", NOW)
        for now in (NOW, NOW, NOW - 1000, NOW + 1000):
            earlier, epoch = epoch, await journal.begin(lease, now)
            assert earlier < epoch <= EVENT_ID_PART_MAX
            assert await journal.head(WALLET) == Head(epoch, 0, "")
            assert await journal.checkpoint(WALLET) is None
            assert await journal.read(WALLET, epoch, 0, **EVERYTHING) == []
            assert await journal.read(WALLET, earlier, 0, **EVERYTHING) == []
            await journal.append(lease, epoch, trades(1, 2), b"new", NOW)
            assert await journal.read(WALLET, epoch, 0, **EVERYTHING) == numbered(1, 2)

    play(scenario)


def test_two_wallets_that_begin_at_once_have_different_epochs(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        _, epoch = await begun(journal)
        _, other_epoch = await begun(journal, OTHER)
        assert epoch != other_epoch

    play(scenario)


# 4. Subscribing


def test_a_subscriber_is_told_of_every_append_in_order_before_append_returns(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        told = listen(journal)
        for first in range(1, 30, 3):
            await journal.append(lease, epoch, trades(first, first + 2), b"", NOW)
            assert told[-1] == (epoch, numbered(first, first + 2))
        assert [entry for _, entries in told for entry in entries] == numbered(1, 30)

    play(scenario)


def test_what_a_subscriber_was_told_of_can_be_read(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        reads: list[asyncio.Task[Head | None]] = []
        loop = asyncio.get_running_loop()

        def look(epoch: int, entries: Sequence[Entry]) -> None:
            assert asyncio.get_running_loop() is loop
            reads.append(loop.create_task(journal.head(WALLET)))

        journal.subscribe(WALLET, look)
        for number in range(1, 21):
            await journal.append(lease, epoch, trades(number, number), b"", NOW)
        heads = await asyncio.gather(*reads)
        assert len(heads) == 20
        assert all(head and head.seq >= seq for seq, head in enumerate(heads, 1))

    play(scenario)


def test_who_subscribes_before_looking_at_the_head_misses_nothing(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)

        async def write() -> None:
            for number in range(1, 101):
                await journal.append(lease, epoch, trades(number, number), b"", NOW)

        async def join() -> None:
            told = listen(journal)
            head = await journal.head(WALLET)
            assert head is not None
            await writing
            seen = await journal.read(WALLET, epoch, 0, head.seq, 10**9) if head.seq else []
            later = [entry for _, entries in told for entry in entries if entry.seq > head.seq]
            assert [*seen, *later] == numbered(1, 100)

        writing = asyncio.ensure_future(write())
        joining = []
        while not writing.done() and len(joining) < JOINING_MAX:
            joining.append(asyncio.ensure_future(join()))
            await journal.head(OTHER)
        await asyncio.gather(*joining)

    play(scenario)


def test_only_the_subscribers_of_a_wallet_are_told_and_each_of_them(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        first, second, other = listen(journal), listen(journal), listen(journal, OTHER)
        await journal.append(lease, epoch, trades(1, 1), b"", NOW)
        assert first == second == [(epoch, numbered(1, 1))]
        assert other == []

    play(scenario)


def test_a_closed_watch_is_told_no_more_and_closing_twice_is_no_error(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        told = []
        watch = journal.subscribe(WALLET, lambda epoch, entries: told.append(epoch))
        after = listen(journal)
        watch.close()
        watch.close()
        await journal.append(lease, epoch, trades(1, 1), b"", NOW)
        assert told == []
        assert len(after) == 1

    play(scenario)


def test_a_subscriber_may_close_itself_and_others_while_it_is_told(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        told: list[str] = []

        def close_both(epoch: int, entries: Sequence[Entry]) -> None:
            told.append("first")
            first.close()
            second.close()

        first = journal.subscribe(WALLET, close_both)
        second = journal.subscribe(WALLET, lambda epoch, entries: told.append("second"))
        journal.subscribe(WALLET, lambda epoch, entries: told.append("third"))
        await journal.append(lease, epoch, trades(1, 2), b"", NOW)
        assert told == ["first", "third"]

    play(scenario)


def test_a_subscriber_that_raises_is_reported_and_harms_neither_writer_nor_others(
    play: Play,
) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        reported: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: reported.append(context["exception"])
        )
        mistake = ValueError("a bug")

        def wrong(epoch: int, entries: Sequence[Entry]) -> None:
            raise mistake

        journal.subscribe(WALLET, wrong)
        told = listen(journal)
        assert (await journal.append(lease, epoch, trades(1, 1), b"", NOW)).seq == 1
        assert told == [(epoch, numbered(1, 1))]
        assert reported == [mistake]

    play(scenario)


def test_subscribers_learn_of_a_new_epoch_with_its_first_append(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, first = await begun(journal)
        told = listen(journal)
        await journal.append(lease, first, trades(1, 2), b"", NOW)
        second = await journal.begin(lease, NOW)
        assert len(told) == 1
        await journal.append(lease, second, trades(1, 1), b"", NOW)
        assert told == [(first, numbered(1, 2)), (second, numbered(1, 1))]

    play(scenario)


# 5. When the store isn't there


def test_a_journal_that_is_not_open_says_the_store_is_unavailable(
    place: Place,
) -> None:
    async def attempts(journal: Journal) -> None:
        for attempt in (
            journal.head(WALLET),
            journal.checkpoint(WALLET),
            journal.read(WALLET, 1, 0, 1, 1),
            journal.acquire(WALLET),
            journal.held(WALLET),
        ):
            with pytest.raises(StoreUnavailable):
                await attempt

    async def scenario() -> None:
        backend = place.make(monotonic)
        journal = backend.journal
        await attempts(journal)
        await backend.open()
        lease, epoch = await begun(journal)
        await backend.close()
        await attempts(journal)
        with pytest.raises(StoreUnavailable):
            await journal.append(lease, epoch, trades(1, 1), b"", NOW)
        with pytest.raises(StoreUnavailable):
            await journal.begin(lease, NOW)
        await journal.release(lease)

    asyncio.run(scenario())


# 6. Closing and coming back


def test_close_waits_for_what_was_handed_in(place: Place, play: Play) -> None:
    async def first_life() -> None:
        backend = place.make(monotonic)
        await backend.open()
        journal = backend.journal
        lease, epoch = await begun(journal)
        appending = [
            asyncio.ensure_future(journal.append(lease, epoch, trades(n, n), b"%d" % n, NOW))
            for n in range(1, 201)
        ]
        await asyncio.sleep(0)
        await backend.close()
        assert [(await each).seq for each in appending] == list(range(1, 201))

    async def second_life(journal: Journal) -> None:
        head = await journal.head(WALLET)
        assert head is not None
        assert await journal.read(WALLET, head.epoch, 0, **EVERYTHING) == numbered(1, 200)
        assert await journal.checkpoint(WALLET) == b"200"

    asyncio.run(first_life())
    play(second_life)


def test_a_journal_opened_later_goes_on_where_the_last_one_ended(play: Play) -> None:
    epochs: list[int] = []

    async def first_life(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        epochs.append(epoch)
        await journal.append(lease, epoch, trades(1, 5), b"five", NOW)
        await journal.release(lease)

    async def second_life(journal: Journal) -> None:
        assert await journal.head(WALLET) == Head(epochs[0], 5, "trade")
        assert await journal.checkpoint(WALLET) == b"five"
        lease = await journal.acquire(WALLET)
        assert lease is not None
        assert (await journal.append(lease, epochs[0], trades(6, 7), b"", NOW)).seq == 7
        assert await journal.read(WALLET, epochs[0], 0, **EVERYTHING) == numbered(1, 7)
        assert await journal.begin(lease, NOW) > epochs[0]

    play(first_life)
    play(second_life)


# Lines


class Ear:
    """What one who has a line open was told."""

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.told = asyncio.Event()

    def on_notice(self, notice: bytes) -> None:
        self.heard.append(notice)
        self.told.set()

    def on_vacant(self) -> None:
        self.heard.append("vacant")
        self.told.set()

    async def until(self, count: int) -> list[object]:
        while len(self.heard) < count:
            self.told.clear()
            await self.told.wait()
        return self.heard


def test_what_is_said_on_a_topic_all_others_hear_in_order(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        speaker, listener, stranger = Ear(), Ear(), Ear()
        line = journal.topic(WALLET, speaker)
        journal.topic(WALLET, listener)
        journal.topic(OTHER, stranger)
        await journal.head(WALLET)
        said = [b"%d \x00\xff" % number for number in range(20)]
        for notice in said:
            line.notify(notice)
        assert await listener.until(20) == said
        assert speaker.heard == stranger.heard == []

    play(scenario)


def test_what_is_said_is_not_heard_before_what_was_appended(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        told, listener = listen(journal), Ear()
        line = journal.topic(WALLET, Ear())
        journal.topic(WALLET, listener)
        await journal.head(WALLET)
        await journal.append(lease, epoch, trades(1, 3), b"", NOW)
        line.notify(b"done")
        await listener.until(1)
        assert told == [(epoch, numbered(1, 3))]

    play(scenario)


def test_who_waits_for_a_lease_is_told_when_it_is_free(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease = await journal.acquire(WALLET)
        assert lease is not None
        assert await journal.held(WALLET)
        waiting = Ear()
        journal.topic(WALLET, waiting)
        await journal.head(WALLET)
        assert await journal.acquire(WALLET) is None
        await journal.release(lease)
        assert await waiting.until(1) == ["vacant"]
        assert not await journal.held(WALLET)
        assert await journal.acquire(WALLET) is not None

    play(scenario)


def test_a_closed_topic_hears_no_more_and_closing_twice_is_no_error(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        gone, listener = Ear(), Ear()
        speaking = journal.topic(WALLET, Ear())
        line = journal.topic(WALLET, gone)
        journal.topic(WALLET, listener)
        await journal.head(WALLET)
        line.close()
        line.close()
        speaking.notify(b"said")
        await listener.until(1)
        assert gone.heard == []

    play(scenario)


# Statistics


def test_statistics_count_what_was_stored_and_read(play: Play) -> None:
    async def scenario(journal: Journal) -> None:
        lease, epoch = await begun(journal)
        await journal.append(lease, epoch, [NewEntry("trade", b"12345")] * 4, b"", NOW)
        await journal.append(lease, epoch, [], b"", NOW)
        await journal.read(WALLET, epoch, 0, 10, 100)
        await journal.head(WALLET)
        statistics = journal.statistics()
        assert (statistics.appends, statistics.entries, statistics.bytes) == (2, 4, 20)
        assert sum(statistics.append_seconds.counts) == 2
        # A backend may look for old journals meanwhile.
        assert statistics.reads == sum(statistics.read_seconds.counts) >= 2
        assert (statistics.queued, statistics.failures) == (0, 0)

    play(scenario)
