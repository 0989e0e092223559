"""The promises of `wd_server.access.quotas.Counters`, kept by every implementation."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from backends import Place, opened

from wd_server.access.quotas import Counters
from wd_server.access.windows import Counted, Usage, Windows

# The start of a minute.
NOW = 1_699_999_980.0


class Clock:
    """By it requests are counted; it stands still."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Setup:
    counters: Counters
    clock: Clock

    async def spend(self, who: str, limit: int, now: float, what: Counted = "requests") -> Usage:
        self.clock.now = now
        return await self.counters.spend(who, limit, what)


Scenario = Callable[[Setup], Awaitable[None]]
Play = Callable[[Scenario], None]


@pytest.fixture
def play(place: Place) -> Play:
    """Each call is a new life of the process that counts."""

    async def life(scenario: Scenario) -> None:
        clock = Clock()
        async with opened(place, clock) as backend:
            await scenario(Setup(backend.counters, clock))

    return lambda scenario: asyncio.run(life(scenario))


def test_as_many_requests_as_allowed_are_allowed(play: Play) -> None:
    async def scenario(s: Setup) -> None:
        spent = [await s.spend("who", 3, NOW + 1) for _ in range(5)]
        assert [usage.allowed for usage in spent] == [True, True, True, False, False]
        assert [usage.remaining for usage in spent] == [2, 1, 0, 0, 0]
        assert (await s.spend("another", 3, NOW + 1)).allowed

    play(scenario)


def test_a_minute_slides_so_that_nobody_gets_twice_the_limit_at_its_turn(play: Play) -> None:
    async def scenario(s: Setup) -> None:
        for _ in range(10):
            assert (await s.spend("who", 10, NOW + 59)).allowed
        assert not (await s.spend("who", 10, NOW + 60)).allowed
        allowed = [(await s.spend("who", 10, NOW + 90)).allowed for _ in range(6)]
        assert allowed == [True] * 5 + [False]
        assert (await s.spend("who", 10, NOW + 240)).remaining == 9

    play(scenario)


def test_who_waits_as_long_as_told_is_allowed_again(play: Play) -> None:
    async def scenario(s: Setup) -> None:
        now = NOW + 17
        for limit in (1, 2, 50):
            while (usage := await s.spend(f"who {limit}", limit, now)).allowed:
                assert usage.seconds >= 1
            later = now + usage.seconds
            assert (await s.spend(f"who {limit}", limit, later)).allowed

    play(scenario)


def test_every_implementation_counts_alike(play: Play) -> None:
    moments = [NOW + step * 0.37 % 400 for step in range(600)]

    async def scenario(s: Setup) -> None:
        windows = Windows()
        for moment in sorted(moments):
            expected = windows.spend("who", 7, moment)
            assert await s.spend("who", 7, moment) == expected

    play(scenario)


def test_a_clock_that_goes_back_gives_nothing_away(play: Play) -> None:
    async def scenario(s: Setup) -> None:
        for _ in range(3):
            assert (await s.spend("who", 3, NOW + 61)).allowed
        assert not (await s.spend("who", 3, NOW + 1)).allowed

    play(scenario)


def test_a_clock_that_was_a_day_ahead_holds_nobody_back_when_it_is_right_again(play: Play) -> None:
    async def scenario(s: Setup) -> None:
        for now in (NOW + 86_400, NOW):
            for _ in range(3):
                assert (await s.spend("who", 3, now)).allowed
            assert not (await s.spend("who", 3, now)).allowed

    play(scenario)


def test_wallets_are_counted_apart_from_requests(play: Play) -> None:
    async def scenario(s: Setup) -> None:
        assert (await s.spend("who", 1, NOW)).allowed
        assert (await s.spend("who", 1, NOW, "wallets")).allowed
        assert not (await s.spend("who", 1, NOW, "wallets")).allowed
        assert not (await s.spend("who", 1, NOW)).allowed

    play(scenario)


def test_as_many_streams_as_allowed_are_open_at_once(play: Play) -> None:
    async def scenario(s: Setup) -> None:
        entered = await asyncio.gather(*(s.counters.enter("who", 3) for _ in range(10)))
        assert entered.count(True) == 3
        assert await s.counters.enter("another {who}", 1)
        s.counters.leave("who")
        assert await s.counters.enter("who", 3)
        assert not await s.counters.enter("who", 3)

    play(scenario)


def test_a_stream_that_left_makes_room_for_the_next_thousand_times(play: Play) -> None:
    async def scenario(s: Setup) -> None:
        for _ in range(1000):
            assert await s.counters.enter("who", 1)
            s.counters.leave("who")

    play(scenario)


def test_a_new_life_starts_with_no_streams(play: Play) -> None:
    async def scenario(s: Setup) -> None:
        assert await s.counters.enter("who", 1)
        assert not await s.counters.enter("who", 1)

    play(scenario)
    play(scenario)
