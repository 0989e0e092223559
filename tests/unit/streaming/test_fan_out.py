"""Many streams of one wallet that come, stall and go on at any time: each gets everything once."""

from pathlib import Path
from random import Random

import pytest
from test_stream import FOLLOW, Bench, Socket, in_house, settled, until

from wd_server.events.ids import EventId
from wd_server.streaming.channel import Channel
from wd_server.streaming.stream import Stream
from wd_server.streaming.view import Progressed, RenderedPage, View

STEPS = 120


@pytest.mark.parametrize("seed", range(8))
def test_whoever_comes_stalls_and_goes_on_has_every_event_once_in_order(
    tmp_path: Path, seed: int
) -> None:
    random = Random(seed)

    async def scene(bench: Bench) -> None:
        everybody: list[tuple[Stream, Socket, int]] = []
        stored = 0
        await bench.begin()
        for _ in range(STEPS):
            match random.choice(("append", "append", "append", "come", "stall", "go on")):
                case "append":
                    count = random.choice((1, 1, 1, 7, 300))
                    await bench.append(*["trade"] * count)
                    stored += count
                case "come":
                    after = random.randint(0, stored)
                    view = random.choice((FOLLOW, FOLLOW, View(follow=True, batch=1)))
                    opened = await bench.open(view, EventId(bench.epoch, after) if after else None)
                    everybody.append((*opened, after))
                case "stall" if everybody:
                    random.choice(everybody)[1].reading = False
                case "go on" if everybody:
                    transport = random.choice(everybody)[1]
                    if not transport.reading:
                        transport.read_on()
        for _, transport, _ in everybody:
            if not transport.reading:
                transport.read_on()
        await until(lambda: all(stream.seq == stored for stream, _, _ in everybody))
        assert everybody
        for _, transport, after in everybody:
            assert transport.ids() == list(range(after + 1, stored + 1))

    in_house(tmp_path, scene)


def test_streams_at_one_place_take_the_page_that_the_first_of_them_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(bench: Bench) -> None:
        await bench.append("trade")
        opened = [await bench.open() for _ in range(3)]
        await bench.append("trade")  # each gets its place
        looked = []
        page = Channel.page

        def looking(
            channel: Channel, view: View, after: int, progressed: Progressed
        ) -> RenderedPage | None:
            looked.append(after)
            return page(channel, view, after, progressed)

        monkeypatch.setattr(Channel, "page", looking)
        await bench.append("trade")
        assert len(looked) == 1
        assert {transport.writes[-1] for _, transport in opened} == {opened[0][1].writes[-1]}

    in_house(tmp_path, scene)


def test_a_new_epoch_is_never_taken_for_what_follows_in_the_old_one(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.append("trade", "trade")
        opened = [await bench.open() for _ in range(2)]
        await bench.append("trade")
        while not all(transport.ids() == [1, 2, 3] for _, transport in opened):
            await settled()  # who has read nothing yet would begin with the new epoch
        await bench.begin()
        await bench.append("trade", "trade", "trade")
        await bench.append("trade")
        await settled()
        for _, transport in opened:
            assert transport.ids() == [1, 2, 3, 1, 2, 3, 4]
            assert transport.names().count("gap") == 1

    in_house(tmp_path, scene)
