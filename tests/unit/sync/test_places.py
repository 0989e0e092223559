"""Who may be read for the first time when many want to."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from wd_server.chain.turns import Tenant, Turn
from wd_server.sync import places
from wd_server.sync.places import Places

A, B, C, D = (Tenant(f"key:{name}") for name in "abcd")


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "FIRST_READS", 5)
    monkeypatch.setattr(places, "FIRST_READS_EACH", 3)
    monkeypatch.setattr(places, "NEWCOMERS", 1)


class Hall:
    """Wallets that wait, that have a place, and that gave it back."""

    def __init__(self) -> None:
        self.places = Places()
        self.inside: list[str] = []
        self.turns: dict[str, Turn] = {}
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, name: str, *tenants: Tenant) -> None:
        self.turns[name], self._ends[name] = Turn(*tenants), asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._interpreted(name))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self._tasks[name]
        await asyncio.sleep(0)

    async def give_up(self, name: str) -> None:
        self._tasks[name].cancel()
        await asyncio.wait([self._tasks[name]])
        await asyncio.sleep(0)

    async def _interpreted(self, name: str) -> None:
        async with self.places.taken(self.turns[name], first=True):
            self.inside.append(name)
            try:
                await self._ends[name].wait()
            finally:
                self.inside.remove(name)


def play(scene: Callable[[Hall], Awaitable[None]]) -> None:
    async def life() -> None:
        async with asyncio.timeout(20):
            await scene(Hall())

    asyncio.run(life())


def test_one_tenant_leaves_room_for_others() -> None:
    async def scene(hall: Hall) -> None:
        for number in range(10):
            await hall.ask(f"a{number}", A)
        assert hall.inside == ["a0", "a1", "a2"]
        for number in range(3):
            await hall.ask(f"b{number}", B)
        assert hall.inside == ["a0", "a1", "a2", "b0", "b1"]
        await hall.ask("c0", C)  # nobody's later wallets keep a first one waiting
        assert hall.inside[-1] == "c0"
        await hall.ask("d0", D)
        assert "d0" not in hall.inside  # so many have come that even newcomers wait
        await hall.end("a1")
        assert hall.inside[-1] == "d0"
        await hall.end("a0")  # one more than usual has a place
        assert hall.inside == ["a2", "b0", "b1", "c0", "d0"]
        await hall.end("a2")
        assert hall.inside[-1] == "a3"

    play(scene)


def test_who_wants_a_wallet_that_waits_has_it_read_in_its_own_turn() -> None:
    async def scene(hall: Hall) -> None:
        for number in range(9):
            await hall.ask(f"a{number}", A)
        assert "a8" not in hall.inside
        hall.turns["a8"].join(B)
        hall.places.call()
        await asyncio.sleep(0)
        assert "a8" in hall.inside

    play(scene)


def test_a_place_is_free_again_whoever_gives_up_and_whenever() -> None:
    async def scene(hall: Hall) -> None:
        for number in range(5):
            await hall.ask(f"a{number}", A)
        await hall.give_up("a3")
        await hall.give_up("a0")
        assert hall.inside == ["a1", "a2", "a4"]
        for name in list(hall.inside):
            await hall.give_up(name)
        for number in range(3):
            await hall.ask(f"b{number}", B)
        assert len(hall.inside) == 3

    play(scene)


def test_only_a_first_read_needs_a_place() -> None:
    async def scene(hall: Hall) -> None:
        for number in range(4):
            await hall.ask(f"a{number}", A)
        async with hall.places.taken(Turn(A), first=False):
            assert len(hall.inside) == 3

    play(scene)
