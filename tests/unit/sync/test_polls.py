"""Which wallets are looked at, in which order, how many at a time; the loop's timers are real."""

import asyncio
from collections.abc import Awaitable, Callable

from wd_server.sync.polls import POLLS_AT_ONCE, SPREAD, Polls


class Looks:
    """Notes who is looked at; a look ends when it is let."""

    def __init__(self, chances: list[float] | None = None) -> None:
        self.seen: list[tuple[str, float]] = []
        self.unneeded: set[str] = set()
        self.changed = asyncio.Event()
        self.ends: dict[str, asyncio.Event] = {}
        self._chances = chances or []
        self.polls = Polls(self.look, self.chance)

    def look(self, wallet: str, due: float) -> asyncio.Task[None] | None:
        self.seen.append((wallet, due))
        self.changed.set()
        if wallet in self.unneeded:
            return None
        self.ends[wallet] = asyncio.Event()
        return asyncio.get_running_loop().create_task(self._until_let(wallet))

    async def _until_let(self, wallet: str) -> None:
        await self.ends[wallet].wait()

    def chance(self) -> float:
        return self._chances.pop(0) if self._chances else 0.5

    @property
    def wallets(self) -> list[str]:
        return [wallet for wallet, _ in self.seen]

    async def until(self, looks: int) -> None:
        while len(self.seen) < looks:
            self.changed.clear()
            await self.changed.wait()


def play(scene: Callable[[Looks], Awaitable[None]], chances: list[float] | None = None) -> None:
    async def playing() -> None:
        looks = Looks(chances)
        try:
            await scene(looks)
        finally:
            looks.polls.close()
            for end in looks.ends.values():
                end.set()

    asyncio.run(playing())


def test_who_is_due_first_is_looked_at_first() -> None:
    async def scene(looks: Looks) -> None:
        moments = [looks.polls.set(*each) for each in (("late", 0.02), ("soon", 0), ("mid", 0.01))]
        await looks.until(3)
        assert looks.wallets == ["soon", "mid", "late"]
        assert sorted(moments) == [due for _, due in looks.seen]

    play(scene)


def test_no_more_than_a_few_are_looked_at_at_a_time_and_the_next_when_one_ends() -> None:
    async def scene(looks: Looks) -> None:
        for number in range(POLLS_AT_ONCE + 2):
            looks.polls.set(str(number), 0)
        await looks.until(POLLS_AT_ONCE)
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(looks.seen) == POLLS_AT_ONCE
        looks.ends["3"].set()
        await looks.until(POLLS_AT_ONCE + 1)
        assert looks.wallets[-1] == str(POLLS_AT_ONCE)

    play(scene)


def test_a_look_that_is_not_needed_holds_nobody_up() -> None:
    async def scene(looks: Looks) -> None:
        looks.unneeded = {str(number) for number in range(3 * POLLS_AT_ONCE)}
        for number in range(3 * POLLS_AT_ONCE):
            looks.polls.set(str(number), 0)
        await looks.until(3 * POLLS_AT_ONCE)

    play(scene)


def test_wallets_that_were_read_together_do_not_stay_together() -> None:
    async def scene(looks: Looks) -> None:
        earliest, usual, latest = (looks.polls.set(name, 100) for name in "abc")
        assert abs(usual - earliest - 100 * SPREAD) < 1
        assert abs(latest - usual - 100 * SPREAD) < 1

    play(scene, chances=[0.0, 0.5, 1.0])
