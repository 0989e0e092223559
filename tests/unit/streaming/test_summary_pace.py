"""Summaries of a busy wallet: one at once, then the newest of each second."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from wd_server.streaming import channel as channels
from wd_server.streaming.channel import Channel
from wd_server.streaming.statistics import StreamStatistics
from wd_server.streaming.view import View
from wd_server.trading.summary import Summary, Totals


class Follower:
    view = View(follow=True)

    def __init__(self) -> None:
        self.shown: list[bytes] = []

    def show(self, frames: Any) -> None:
        self.shown.append(frames.plain)


class Pump:
    counts = StreamStatistics()
    page_reads = asyncio.Semaphore(1)

    def visit(
        self, visited: Iterable[Any], visit: Callable[[Any], None], *, heavy: bool = False
    ) -> None:
        for each in visited:
            visit(each)


def summary(buys: int) -> Summary:
    return Totals(buys=buys).summary("fifo", 0)


def test_there_is_one_at_once_and_then_the_newest_of_each_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channels, "SUMMARY_SECONDS", 0.05)

    async def play() -> None:
        channel = Channel("wallet", None, Pump(), lambda: 0.0)  # type: ignore[arg-type]
        follower, other = Follower(), Follower()
        other.view = View()
        channel.subscriptions |= {follower, other}  # type: ignore[arg-type]
        for buys in range(1, 100):
            channel.on_summary(summary(buys))
        assert [b'"buys":1,' in shown for shown in follower.shown] == [True]
        async with asyncio.timeout(10):
            while len(follower.shown) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert b'"buys":99,' in follower.shown[1]
        assert other.shown == []
        channel.on_summary(summary(100))
        channel.close()
        assert len(follower.shown) == 2

    asyncio.run(play())
