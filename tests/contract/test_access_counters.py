"""The promises of `wd_server.access.quotas.Counters`, kept by every implementation."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from access_stores import COUNTERS, CountersFactory

from wd_server.access.quotas import Counters
from wd_server.access.windows import Windows

SCENARIO_SECONDS = 30
# The start of a minute.
NOW = 1_699_999_980.0

Play = Callable[[Callable[[Counters], Awaitable[None]]], None]


@pytest.fixture(params=COUNTERS)
def play(request: pytest.FixtureRequest) -> Iterator[Play]:
    async def life(
        factory: CountersFactory, scenario: Callable[[Counters], Awaitable[None]]
    ) -> None:
        counters = factory()
        await counters.open()
        try:
            async with asyncio.timeout(SCENARIO_SECONDS):
                await scenario(counters)
        finally:
            await counters.close()
            await counters.close()

    with COUNTERS[request.param](request) as factory:
        yield lambda scenario: asyncio.run(life(factory, scenario))


def test_as_many_requests_as_allowed_are_allowed(play: Play) -> None:
    async def scenario(counters: Counters) -> None:
        spent = [await counters.spend("who", 3, NOW + 1) for _ in range(5)]
        assert [usage.allowed for usage in spent] == [True, True, True, False, False]
        assert [usage.remaining for usage in spent] == [2, 1, 0, 0, 0]
        assert (await counters.spend("another", 3, NOW + 1)).allowed

    play(scenario)


def test_a_minute_slides_so_that_nobody_gets_twice_the_limit_at_its_turn(play: Play) -> None:
    async def scenario(counters: Counters) -> None:
        for _ in range(10):
            assert (await counters.spend("who", 10, NOW + 59)).allowed
        assert not (await counters.spend("who", 10, NOW + 60)).allowed
        allowed = [(await counters.spend("who", 10, NOW + 90)).allowed for _ in range(6)]
        assert allowed == [True] * 5 + [False]
        assert (await counters.spend("who", 10, NOW + 240)).remaining == 9

    play(scenario)


def test_who_waits_as_long_as_told_is_allowed_again(play: Play) -> None:
    async def scenario(counters: Counters) -> None:
        now = NOW + 17
        for limit in (1, 2, 50):
            while (usage := await counters.spend(f"who {limit}", limit, now)).allowed:
                assert usage.seconds >= 1
            later = now + usage.seconds
            assert (await counters.spend(f"who {limit}", limit, later)).allowed

    play(scenario)


def test_every_implementation_counts_alike(play: Play) -> None:
    moments = [NOW + step * 0.37 % 400 for step in range(600)]

    async def scenario(counters: Counters) -> None:
        windows = Windows()
        for moment in sorted(moments):
            expected = windows.spend("who", 7, moment)
            assert await counters.spend("who", 7, moment) == expected

    play(scenario)


def test_a_clock_that_goes_back_gives_nothing_away(play: Play) -> None:
    async def scenario(counters: Counters) -> None:
        for _ in range(3):
            assert (await counters.spend("who", 3, NOW + 61)).allowed
        assert not (await counters.spend("who", 3, NOW + 1)).allowed

    play(scenario)


def test_as_many_streams_as_allowed_are_open_at_once(play: Play) -> None:
    async def scenario(counters: Counters) -> None:
        entered = await asyncio.gather(*(counters.enter("who", 3) for _ in range(10)))
        assert entered.count(True) == 3
        assert await counters.enter("another {who}", 1)
        counters.leave("who")
        assert await counters.enter("who", 3)
        assert not await counters.enter("who", 3)

    play(scenario)


def test_a_stream_that_left_makes_room_for_the_next_thousand_times(play: Play) -> None:
    async def scenario(counters: Counters) -> None:
        for _ in range(1000):
            assert await counters.enter("who", 1)
            counters.leave("who")

    play(scenario)


def test_a_new_life_starts_with_no_streams(play: Play) -> None:
    async def scenario(counters: Counters) -> None:
        assert await counters.enter("who", 1)
        assert not await counters.enter("who", 1)

    play(scenario)
    play(scenario)
