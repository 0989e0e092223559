"""How the bytes of a stream end: a client can tell what the server ended from what was cut off."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from test_bundle import A, B, Wallets, with_wallets
from test_stream import LIMITS, Bench, Socket, in_house, settled, until

from wd_server.errors import UpstreamUnavailable
from wd_server.streaming.framing import LAST_CHUNK
from wd_server.streaming.lifecycle import CloseReason
from wd_server.streaming.stream import Stream
from wd_server.streaming.view import View

ENDS: dict[str, Callable[[Stream], None]] = {
    "error": lambda stream: stream.fail(UpstreamUnavailable("The chain doesn't answer.")),
    "bye": lambda stream: stream.send_away(CloseReason.LIFETIME),
}


async def _complete(bench: Bench, stream: Stream) -> None:
    await bench.append("complete")
    stream.channel.on_settled()
    await settled()


@pytest.mark.parametrize("batch", [0, 1])
def test_a_stream_that_is_complete_ends_with_the_last_chunk(tmp_path: Path, batch: int) -> None:
    async def scene(bench: Bench) -> None:
        await bench.append("trade", "trade")
        stream, transport = await bench.open(View(batch=batch))
        await until(lambda: stream.seq == 2)
        assert not transport.ended
        await _complete(bench, stream)
        assert transport.names()[-1] == "complete"
        assert transport.ended
        assert transport.closing

    in_house(tmp_path, scene)


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("early", [True, False])
def test_last_words_and_the_last_chunk_leave_in_one_write(
    tmp_path: Path, name: str, early: bool
) -> None:
    async def scene(bench: Bench) -> None:
        if early:  # the socket isn't there yet
            stream = await bench.admit()
            stream.answer(b"", chunked=True, compressed=False)
            ENDS[name](stream)
            transport = Socket(stream)
            stream.connection_made(transport)
        else:
            stream, transport = await bench.open()
            ENDS[name](stream)
        assert len(transport.writes) == (1 if early else 2)
        assert f"event: {name}\n".encode() in transport.writes[-1]
        assert transport.writes[-1].endswith(LAST_CHUNK)
        assert transport.ended
        transport.lose()
        assert bench.registry.statistics().bytes == sum(map(len, transport.writes))

    in_house(tmp_path, scene)


def test_a_drain_ends_every_stream(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        opened = [(await bench.open())[1] for _ in range(3)]
        draining = asyncio.ensure_future(bench.registry.drain(5))
        await until(lambda: all(transport.closing for transport in opened))
        assert all(transport.ended for transport in opened)
        for transport in opened:
            transport.lose()
        await draining

    in_house(tmp_path, scene)


@pytest.mark.parametrize("compressed", [True, False])
def test_a_stream_that_is_dropped_goes_without_the_last_chunk(
    tmp_path: Path, compressed: bool
) -> None:
    async def scene(bench: Bench) -> None:
        stream, transport = await bench.open(compressed=compressed)
        await bench.append("trade")
        stream.abort()
        assert not transport.ended

    in_house(tmp_path, scene)


def test_the_last_chunk_of_a_slow_client_stands_behind_what_it_has_not_taken(
    tmp_path: Path,
) -> None:
    async def scene(bench: Bench) -> None:
        _, transport = await bench.open()
        transport.reading = False
        await bench.append("trade")
        await bench.pass_seconds(LIMITS.write_timeout + 1)
        assert transport.names() == ["connected", "trade", "bye"]
        assert transport.ended

    in_house(tmp_path, scene)


@pytest.mark.parametrize("compressed", [True, False])
def test_http_1_0_knows_no_chunks(tmp_path: Path, compressed: bool) -> None:
    async def scene(bench: Bench) -> None:
        chunked = await bench.open(View(), compressed=compressed)
        plain = await bench.open(View(), chunked=False, compressed=compressed)
        await bench.append("trade", "trade")
        await _complete(bench, plain[0])
        assert all(transport.closing for _, transport in (chunked, plain))
        received = chunked[1].received, plain[1].received
        assert b"".join(plain[1].writes) == received[1]
        assert len(received[0]) == len(received[1])
        if not compressed:
            assert plain[1].names() == ["connected", "trade", "trade", "complete"]
            plain[1].lose()
            assert bench.registry.statistics().bytes >= len(received[1])

    in_house(tmp_path, scene)


def test_followers_of_http_1_0_have_every_event_beside_those_that_share_chunks(
    tmp_path: Path,
) -> None:
    async def scene(bench: Bench) -> None:
        opened = [await bench.open(chunked=number % 2 == 0) for number in range(6)]
        for _ in range(3):
            await bench.append("trade")
        assert [transport.ids() for _, transport in opened] == [[1, 2, 3]] * 6
        shared = [transport.writes[-1] for stream, transport in opened if stream.chunked]
        assert all(each is shared[0] for each in shared)

    in_house(tmp_path, scene)


def test_several_wallets_end_with_the_last_chunk_when_all_are_complete(tmp_path: Path) -> None:
    async def scene(wallets: Wallets) -> None:
        for wallet in (A, B):
            await wallets.append(wallet, "trade", "complete")
        bundle, transport = await wallets.open(A, B, view=View())
        (await wallets.channel(A)).on_settled()
        await settled()
        assert not transport.ended
        (await wallets.channel(B)).on_settled()
        await until(lambda: transport.closing)
        assert transport.ended
        assert bundle.bytes_sent == sum(map(len, transport.writes))

    with_wallets(tmp_path, scene)


def test_last_words_to_a_client_of_several_wallets_end_the_stream(tmp_path: Path) -> None:
    async def scene(wallets: Wallets) -> None:
        for wallet in (A, B):
            await wallets.append(wallet, "trade", "trade")
        bundle, transport = await wallets.open(A, B)
        await until(lambda: len(transport.events()) == 5)
        bundle.send_away(CloseReason.LIFETIME)
        assert transport.names()[-1] == "bye"
        assert transport.ended

    with_wallets(tmp_path, scene)


def test_lines_of_every_event_come_in_the_order_in_which_clients_may_trust_them(
    tmp_path: Path,
) -> None:
    async def scene(wallets: Wallets) -> None:
        await wallets.append(A, "trade", "retract", "complete")
        opened = [
            await wallets.open(A, B),
            await wallets.bench.open(),
            await wallets.bench.open(View(follow=True, batch=2)),
        ]
        await until(lambda: "complete" in opened[0][1].names())
        for stream, transport in opened:
            stream.send_away(CloseReason.LIFETIME)
            for block in transport.received.decode().split("\n\n")[:-1]:
                names = [line.partition(":")[0] for line in block.split("\n")]
                assert names == [name for name in ("retry", "event", "data", "id") if name in names]

    with_wallets(tmp_path, scene)
