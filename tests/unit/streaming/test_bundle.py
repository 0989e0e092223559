"""Several wallets on one connection, on a real journal; the socket is played."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_stream import ASKED, FOLLOW, LIMITS, Bench, Socket, in_house, settled, until

from wd_server.access.keys import SigningKeys
from wd_server.errors import InvalidParameter, StoreUnavailable, UpstreamRejected
from wd_server.events import event
from wd_server.journal.base import Entry, Head, Lease, NewEntry
from wd_server.secret import Secret
from wd_server.streaming import bundle as bundles
from wd_server.streaming import channel as channels
from wd_server.streaming.bundle import Bundle
from wd_server.streaming.bundle_id import Bookmarks, Seal
from wd_server.streaming.channel import Channel, UnreadableId
from wd_server.streaming.connection import Limits
from wd_server.streaming.lifecycle import CloseReason, StreamState
from wd_server.streaming.view import View
from wd_server.trading.ledger import Ledger

A, B, C = ("9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7", "B" * 43, "C" * 43)
SEAL = Seal(SigningKeys(Secret("a secret of this server, not of others")), "key:one")


class Sent(NamedTuple):
    name: str
    id: str | None
    data: dict[str, Any]

    @property
    def wallet(self) -> str | None:
        return self.data.get("wallet")


class Wallets:
    """Journals of several wallets. Each entry's payload says which it is: `n` of `epoch`."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.registry = bench.registry
        self.heads: dict[str, Head] = {}
        self._leases: dict[str, Lease] = {}

    async def begin(self, wallet: str) -> None:
        if wallet not in self._leases:
            lease = await self.bench.journal.acquire(wallet)
            assert lease is not None
            self._leases[wallet] = lease
        epoch = await self.bench.journal.begin(self._leases[wallet], 1000.0)
        self.heads[wallet] = Head(epoch, 0, "")

    async def append(self, wallet: str, *kinds: str) -> None:
        if wallet not in self.heads:
            await self.begin(wallet)
        epoch, seq, _ = self.heads[wallet]
        entries = [
            NewEntry(kind, b'{"run":%d,"n":%d}' % (epoch, seq + number))
            for number, kind in enumerate(kinds, 1)
        ]
        journal, lease = self.bench.journal, self._leases[wallet]
        self.heads[wallet] = await journal.append(lease, epoch, entries, b"", 1000.0)
        await settled()

    async def admit(
        self,
        *wallets: str,
        view: View = FOLLOW,
        last: str | UnreadableId | None = None,
        seal: Seal = SEAL,
    ) -> Bundle:
        read = last is None or isinstance(last, UnreadableId)
        bookmarks = last if read else Bookmarks.parse(last, seal)
        opened = await self.registry.channels(wallets)
        return self.registry.admit_bundle(opened, view, bookmarks, seal, ASKED)

    async def open(self, *wallets: str, **how: Any) -> tuple[Bundle, Socket]:
        bundle = await self.admit(*wallets, **how)
        bundle.answer(b"", chunked=True, compressed=False)
        transport = Socket(bundle)
        bundle.connection_made(transport)
        await settled()
        return bundle, transport

    async def channel(self, wallet: str) -> Channel:
        return await self.registry.channel(wallet)


def with_wallets(
    tmp_path: Path, scene: Callable[[Wallets], Awaitable[None]], limits: Limits = LIMITS
) -> None:
    async def play(bench: Bench) -> None:
        await asyncio.wait_for(scene(Wallets(bench)), 5)

    in_house(tmp_path, play, limits)


def sent(transport: Socket) -> list[Sent]:
    return [Sent(*each) for each in transport.events()]


def numbers(events: Sequence[Sent], wallet: str) -> list[int]:
    """Of the stored events of this wallet."""
    return [each.data["n"] for each in events if each.id is not None and each.wallet == wallet]


def has(transport: Socket, count: int) -> Callable[[], bool]:
    return lambda: len([each for each in sent(transport) if each.id is not None]) == count


def test_every_event_of_a_wallet_names_it_and_has_an_id_without_spaces(tmp_path: Path) -> None:
    async def scene(wallets: Wallets) -> None:
        await wallets.append(A, "trade", "trade")
        await wallets.append(B, "trade", "complete")
        bundle, transport = await wallets.open(A, B)
        await until(has(transport, 4))
        connected, *events = sent(transport)
        assert connected.data["wallet"] is None
        assert connected.data["wallets"] == [A, B]
        assert (numbers(events, A), numbers(events, B)) == ([1, 2], [1, 2])
        assert [each.name for each in events if each.wallet == B] == ["trade", "complete"]
        ids = [each.id for each in events]
        assert len(set(ids)) == 4
        assert not any(text is None or " " in text for text in ids)
        assert b'data: {"wallet":"%b","run":' % A.encode() in transport.received
        assert bundle.state is StreamState.LIVE

    with_wallets(tmp_path, scene)


def test_the_first_write_has_the_greeting_and_what_is_there(tmp_path: Path) -> None:
    async def scene(wallets: Wallets) -> None:
        _, early = await wallets.open(A, B)
        await wallets.append(A, "trade")  # recent from now on
        _, transport = await wallets.open(A, B)
        assert b"event: connected" in transport.writes[0]
        assert b"event: trade" in transport.writes[0]
        assert numbers(sent(early), A) == [1]

    with_wallets(tmp_path, scene)


def test_live_events_of_all_wallets_leave_in_one_write(tmp_path: Path) -> None:
    async def scene(wallets: Wallets) -> None:
        for wallet in (A, B, C):
            await wallets.append(wallet, "trade")
        _, transport = await wallets.open(A, B, C)
        await until(has(transport, 3))
        before = len(transport.writes)
        for wallet in (A, B, C):  # within one turn of the loop
            epoch, seq, _ = wallets.heads[wallet]
            channel = wallets.registry._channels[wallet]
            channel._on_append(epoch, [Entry(seq + 1, "trade", b'{"n":%d}' % (seq + 1))])
        await settled()
        assert len(transport.writes) == before + 1
        assert transport.writes[-1].count(b"event: trade") == 3

    with_wallets(tmp_path, scene)


def test_a_long_history_keeps_no_other_wallet_waiting(tmp_path: Path) -> None:
    async def scene(wallets: Wallets) -> None:
        for _ in range(10):
            await wallets.append(A, *["trade"] * 200)
        await wallets.append(B, "trade", "trade")
        _, transport = await wallets.open(A, B)
        await until(has(transport, 2002))
        order = [each.wallet for each in sent(transport) if each.id is not None]
        assert numbers(sent(transport), A) == [*range(1, 2001)]
        assert numbers(sent(transport), B) == [1, 2]
        assert order.index(B) < 1000

    with_wallets(tmp_path, scene)


def test_a_client_that_does_not_read_costs_positions_and_no_queue(tmp_path: Path) -> None:
    async def scene(wallets: Wallets) -> None:
        bundle, transport = await wallets.open(A, B)
        transport.reading = False
        await wallets.append(A, "trade")
        kept = transport.unsent
        for _ in range(20):
            await wallets.append(A, *["trade"] * 50)
            await wallets.append(B, *["trade"] * 50)
        assert transport.unsent == kept
        assert bundle._out == []
        assert bundle.lag == 2000
        assert bundle.state is StreamState.REPLAYING
        assert wallets.registry.statistics().demotions == 1
        transport.read_on()
        await until(has(transport, 2001))
        assert numbers(sent(transport), A) == [*range(1, 1002)]
        assert numbers(sent(transport), B) == [*range(1, 1001)]
        assert (bundle.state, bundle.lag) == (StreamState.LIVE, 0)

    with_wallets(tmp_path, scene)


def test_one_that_takes_nothing_is_told_once_and_closed_as_slow(tmp_path: Path) -> None:
    async def scene(wallets: Wallets) -> None:
        bundle, transport = await wallets.open(A, B)
        transport.reading = False
        await wallets.append(A, "trade")
        await wallets.bench.pass_seconds(LIMITS.write_timeout + 1)
        assert sent(transport)[-1].name == "bye"
        assert transport.names().count("bye") == 1
        assert bundle.reason is CloseReason.SLOW

    with_wallets(tmp_path, scene)


def test_silence_is_broken_by_one_heartbeat_for_the_connection(tmp_path: Path) -> None:
    async def scene(wallets: Wallets) -> None:
        _, transport = await wallets.open(A, B, C)
        await wallets.bench.pass_seconds(3)
        assert transport.names() == ["connected", "heartbeat"]

    with_wallets(tmp_path, scene)


def test_it_ends_when_every_wallet_has_shown_its_complete(tmp_path: Path) -> None:
    async def scene(wallets: Wallets) -> None:
        await wallets.append(A, "trade", "complete")
        await wallets.append(B, "trade")
        bundle, transport = await wallets.open(A, B, view=View())
        (await wallets.channel(A)).on_settled()
        await until(has(transport, 3))
        # A is read no further: nobody else is there for it.
        statistics = wallets.registry.statistics()
        assert (statistics.channels, wallets.bench.source.attending) == (1, 1)
        assert not transport.closing
        await wallets.append(B, "complete")
        (await wallets.channel(B)).on_settled()
        await until(lambda: transport.closing)
        assert bundle.reason is CloseReason.COMPLETE
        assert numbers(sent(transport), B) == [1, 2]
        assert sent(transport)[-1].name == "complete"
        transport.lose()
        statistics = wallets.registry.statistics()
        assert (statistics.active, statistics.channels, wallets.bench.source.attending) == (0, 0, 0)

    with_wallets(tmp_path, scene)


def test_the_last_to_leave_closes_all_its_channels(tmp_path: Path) -> None:
    async def scene(wallets: Wallets) -> None:
        _, one = await wallets.open(A, B)
        _, two = await wallets.open(B, C)
        statistics = wallets.registry.statistics()
        assert (statistics.active, statistics.total) == (2, 2)
        assert (statistics.channels, wallets.bench.source.attending) == (3, 4)
        one.lose()
        assert wallets.registry.statistics().channels == 2
        two.lose()
        assert wallets.registry.statistics().channels == 0
        assert wallets.bench.source.attending == 0
        assert len(wallets.registry.wheel) == 0
        await wallets.append(B, "trade")
        assert numbers(sent(two), B) == []

    with_wallets(tmp_path, scene)


def test_one_wallets_failure_names_it_and_ends_the_stream(tmp_path: Path) -> None:
    async def scene(wallets: Wallets) -> None:
        bundle, transport = await wallets.open(A, B)
        error = UpstreamRejected("The chain refused.", retry_after=5)
        (await wallets.channel(B)).on_failed(error, True)
        await settled()
        last = sent(transport)[-1]
        assert (last.name, last.wallet, last.data["code"]) == ("error", B, "UPSTREAM_REJECTED")
        assert transport.closing
        assert bundle.reason is CloseReason.ERROR
        transport.lose()
        assert wallets.registry.statistics().errored == 1

    with_wallets(tmp_path, scene)


def test_a_read_that_fails_names_the_wallet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> Sequence[Entry]:
        raise StoreUnavailable("The store is away.")

    async def scene(wallets: Wallets) -> None:
        await wallets.append(A, "trade")
        monkeypatch.setattr(wallets.bench.journal, "read", fails)
        _, transport = await wallets.open(A, B)
        assert [each.name for each in sent(transport)] == ["connected", "error"]
        assert sent(transport)[-1].wallet == A

    with_wallets(tmp_path, scene)


def test_an_event_that_is_not_kept_comes_behind_the_trades_it_tells_of(tmp_path: Path) -> None:
    async def scene(wallets: Wallets) -> None:
        bundle, transport = await wallets.open(A, B)
        channel = await wallets.channel(A)
        channel.on_preview(event.Preview([], 1))
        channel.on_progress(event.Progress("", 40, "processing_trades", 0, 0, 0, 0))
        await settled()
        await wallets.begin(A)
        epoch = wallets.heads[A].epoch
        channel._on_append(epoch, [Entry(1, "trade", b'{"n":1}')])
        channel.on_summary(Ledger("fifo").summary())
        await settled()
        channel.on_progress(event.Progress("", 20, "processing_trades", 0, 0, 0, 0))
        await settled()
        assert transport.names() == ["connected", "preview", "progress", "trade", "summary"]
        assert {each.wallet for each in sent(transport)[1:]} == {A}
        assert bundle.events_sent == 5

    with_wallets(tmp_path, scene)


def test_who_comes_later_sees_the_preview_and_how_far_it_is(tmp_path: Path) -> None:
    async def scene(wallets: Wallets) -> None:
        await wallets.open(A)
        channel = await wallets.channel(A)
        channel.on_preview(event.Preview([], 1))
        channel.on_progress(event.Progress("", 40, "processing_trades", 0, 0, 0, 0))
        _, transport = await wallets.open(A, B)
        assert transport.names() == ["connected", "preview", "progress"]

    with_wallets(tmp_path, scene)


def test_batches_and_filters_are_those_of_one_wallet(tmp_path: Path) -> None:
    async def scene(wallets: Wallets) -> None:
        await wallets.append(A, *["trade"] * 5)
        await wallets.append(B, *["trade"] * 3)
        _, transport = await wallets.open(A, B, view=View(follow=True, batch=2))
        await until(has(transport, 5))
        batches = [each for each in sent(transport) if each.name == "trades"]
        for wallet, sizes in ((A, [2, 2, 1]), (B, [2, 1])):
            own = [each.data for each in batches if each.wallet == wallet]
            assert [len(each["trades"]) for each in own] == sizes
            assert [each["batch_num"] for each in own] == [*range(1, len(sizes) + 1)]
            assert own[-1]["total_yielded"] == sum(sizes)
        _, again = await wallets.open(A, B, last=batches[1].id)
        rest = [each for batch in batches[2:] for each in batch.data["trades"]]
        await until(has(again, len(rest)))
        for wallet in (A, B):
            epoch = wallets.heads[wallet].epoch
            assert numbers(sent(again), wallet) == [x["n"] for x in rest if x["run"] == epoch]

    with_wallets(tmp_path, scene)


def test_a_wallet_that_is_added_begins_at_its_start_and_one_that_is_left_out_is_forgotten(
    tmp_path: Path,
) -> None:
    async def scene(wallets: Wallets) -> None:
        for wallet in (A, B, C):
            await wallets.append(wallet, "trade", "trade")
        _, transport = await wallets.open(A, B)
        await until(has(transport, 4))
        _, other = await wallets.open(B, C, last=sent(transport)[-1].id)
        await until(has(other, 2))
        assert sent(other)[0].data["resumed"] is True
        assert "gap" not in other.names()
        assert (numbers(sent(other), B), numbers(sent(other), C)) == ([], [1, 2])

    with_wallets(tmp_path, scene)


def test_a_wallet_whose_journal_began_anew_has_a_gap_of_its_own(tmp_path: Path) -> None:
    async def scene(wallets: Wallets) -> None:
        await wallets.append(A, "trade", "trade")
        await wallets.append(B, "trade")
        _, transport = await wallets.open(A, B)
        await until(has(transport, 3))
        last, old = sent(transport)[-1].id, wallets.heads[A]
        await wallets.begin(A)
        await wallets.append(A, "trade")
        await until(has(transport, 4))
        gap, trade = sent(transport)[-2:]
        assert (gap.name, gap.wallet, gap.data["reason"]) == ("gap", A, "reset")
        assert (trade.name, trade.wallet, trade.data["n"]) == ("trade", A, 1)
        _, again = await wallets.open(A, B, last=last)
        await until(has(again, 1))
        connected, gap, trade = sent(again)
        assert connected.data["resumed"] is False
        assert (gap.wallet, gap.data["reason"]) == (A, "expired")
        assert gap.data["from"] == f"{old.epoch}-{old.seq}"
        assert (trade.wallet, trade.data["n"]) == (A, 1)
        assert wallets.registry.statistics().resumes == {"expired": 1}
        # The newest id knows of the new epoch.
        _, last_one = await wallets.open(A, B, last=sent(transport)[-1].id)
        assert last_one.names() == ["connected"]

    with_wallets(tmp_path, scene)


def test_an_id_that_cannot_be_read_is_a_gap_for_each_wallet(tmp_path: Path) -> None:
    async def scene(wallets: Wallets) -> None:
        await wallets.append(A, "trade", "trade")
        await wallets.append(B, "trade")
        _, transport = await wallets.open(A, B, C, last=UnreadableId())
        await until(has(transport, 3))
        connected, *gaps = sent(transport)[:4]
        assert connected.data["resumed"] is False
        assert [each.name for each in gaps] == ["gap"] * 3
        assert [each.wallet for each in gaps] == [A, B, C]
        assert {each.data["reason"] for each in gaps} == {"unknown_id"}
        assert {each.data["from"] for each in gaps} == {""}
        assert [each.data["to"] for each in gaps] == [
            f"{wallets.heads[A].epoch}-2",
            f"{wallets.heads[B].epoch}-1",
            None,
        ]
        assert (numbers(sent(transport), A), numbers(sent(transport), B)) == ([1, 2], [1])
        assert wallets.registry.statistics().resumes == {"unknown_id": 1}

    with_wallets(tmp_path, scene)


def test_an_id_made_for_another_tenant_moves_nothing(tmp_path: Path) -> None:
    async def scene(wallets: Wallets) -> None:
        await wallets.append(A, "trade", "trade")
        other = Seal(SigningKeys(Secret("a secret of this server, not of others")), "key:two")
        _, transport = await wallets.open(A, B, seal=other)
        await until(has(transport, 2))
        with pytest.raises(InvalidParameter):
            await wallets.open(A, B, last=sent(transport)[1].id)
        assert wallets.registry.statistics().active == 1

    with_wallets(tmp_path, scene)


def test_a_bundle_that_has_much_to_send_leaves_the_loop_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wd_server.streaming.registry.SLICE_SECONDS", 0.0)

    async def scene(wallets: Wallets) -> None:
        opened = [await wallets.open(A, B) for _ in range(5)]
        turns: list[str] = []
        bundles = [bundle for bundle, _ in opened]
        wallets.registry.visit(bundles, lambda _: turns.append("visit"), heavy=True)
        loop = asyncio.get_running_loop()

        def other() -> None:
            turns.append("other")
            if turns.count("visit") < 5:
                loop.call_soon(other)

        loop.call_soon(other)
        await settled()
        assert turns.count("visit") == 5
        assert "visit visit" not in " ".join(turns)

    with_wallets(tmp_path, scene)


def test_wallets_that_cannot_all_be_opened_leave_no_channel_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(wallets: Wallets) -> None:
        head = wallets.bench.journal.head

        async def fails_for_b(wallet: str) -> Head | None:
            if wallet == B:
                raise StoreUnavailable("The store is away.")
            return await head(wallet)

        monkeypatch.setattr(wallets.bench.journal, "head", fails_for_b)
        with pytest.raises(StoreUnavailable):
            await wallets.open(A, B, C)
        assert wallets.registry.statistics().channels == 0

    with_wallets(tmp_path, scene)


def test_a_channel_that_another_drops_while_the_next_is_opened_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(wallets: Wallets) -> None:
        head = wallets.bench.journal.head

        async def meanwhile(wallet: str) -> Head | None:
            if wallet == B and A in wallets.registry._channels:
                wallets.registry.drop_unused(wallets.registry._channels[A])
            for _ in range(10 if wallet == B else 0):
                await asyncio.sleep(0)
                if A in wallets.registry._channels:
                    wallets.registry.drop_unused(wallets.registry._channels[A])
            return await head(wallet)

        await wallets.append(A, "trade")
        monkeypatch.setattr(wallets.bench.journal, "head", meanwhile)
        _, transport = await wallets.open(A, B)
        await wallets.append(A, "trade")
        await until(has(transport, 2))
        assert numbers(sent(transport), A) == [1, 2]

    with_wallets(tmp_path, scene)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sampled_from([A, B, C]), st.integers(1, 9)),
        st.tuples(st.just("begin"), st.sampled_from([A, B, C]), st.just(0)),
        st.tuples(st.just("stall"), st.just(""), st.just(0)),
        st.tuples(st.just("read"), st.just(""), st.just(0)),
        st.tuples(st.just("return"), st.just(""), st.integers(0, 100)),
    ),
    max_size=14,
)


class Reader:
    """A client as the contract has it: it keeps what it was sent, goes back to where a torn
    connection left it, and discards a wallet's events at its gap."""

    def __init__(self, wallets: Wallets) -> None:
        self._wallets = wallets
        self._kept: list[Sent] = []
        self._transport: Socket | None = None

    async def come(self, share: int = 100) -> None:
        """Again, having got so many percent of what was sent."""
        if self._transport is not None:
            events = self.events()
            self._kept = events[: len(events) * share // 100]
            self._transport.lose()
        ids = [each.id for each in self._kept if each.id is not None]
        last = ids[-1] if ids else None
        _, self._transport = await self._wallets.open(A, B, C, last=last)

    def stall(self) -> None:
        assert self._transport is not None
        self._transport.reading = False

    async def read(self) -> None:
        assert self._transport is not None
        if self._transport.closing:  # an error: a page was read while an epoch began
            await self.come()
        elif not self._transport.reading:
            self._transport.read_on()

    def events(self) -> list[Sent]:
        assert self._transport is not None
        return self._kept + sent(self._transport)

    def holds(self) -> dict[str, list[tuple[int, int]]]:
        """By wallet, epoch and number of the entries."""
        held: dict[str, list[tuple[int, int]]] = {A: [], B: [], C: []}
        for each in self.events():
            if each.name == "gap":
                held[str(each.wallet)].clear()
            elif each.id is not None:
                held[str(each.wallet)].append((each.data["run"], each.data["n"]))
        return held


@given(steps)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_happens_every_wallets_events_come_once_and_in_order(
    plan: list[tuple[str, str, int]],
) -> None:
    async def scene(wallets: Wallets) -> None:
        reader = Reader(wallets)
        for wallet in (A, B, C):
            await wallets.begin(wallet)
        await reader.come()
        for step, wallet, count in plan:
            match step:
                case "append":
                    await wallets.append(wallet, *["trade"] * count)
                case "begin":
                    await wallets.begin(wallet)
                    await wallets.append(wallet, "trade")
                case "stall":
                    reader.stall()
                case "read":
                    await reader.read()
                case "return":
                    await reader.come(count)
        stored = {
            wallet: [(head.epoch, n) for n in range(1, head.seq + 1)]
            for wallet, head in wallets.heads.items()
        }
        for _ in range(200):
            if reader.holds() == stored:
                break
            await reader.read()
            await settled()
        assert reader.holds() == stored

    # So little is kept and sent at once that every way is taken.
    small = {"RECENT_ENTRIES": 4, "PAGE_ENTRIES": 3, "PAGE_BYTES": 60, "FETCHED_PAGES": 1}
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.multiple(channels, **small),
        patch.object(bundles, "PAGE_BYTES", 400),
    ):
        with_wallets(Path(folder), scene)
