"""The promises of `wd_server.chain.budget.BudgetStore`, kept by every implementation."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from backends import Place, opened, replace_in_all

from wd_server.chain import budget as budget_module
from wd_server.chain.budget import BudgetStore
from wd_server.chain.credits import Share

DAY = 20_000

Scenario = Callable[[BudgetStore, BudgetStore], Awaitable[None]]
Play = Callable[[Scenario], None]


@pytest.fixture
def play(place: Place) -> Play:
    """Each call is a new life of two nodes, or of the only one there can be."""

    async def life(scenario: Scenario) -> None:
        async with AsyncExitStack() as stack:
            nodes = [
                await stack.enter_async_context(opened(place))
                for _ in range(1 if place.node is None else 2)
            ]
            await scenario(nodes[0].budget, nodes[-1].budget)

    return lambda scenario: asyncio.run(life(scenario))


def test_everybody_is_told_what_all_have_spent(play: Play) -> None:
    async def scenario(one: BudgetStore, other: BudgetStore) -> None:
        assert await one.count("a", Share(DAY)) == 0
        assert await one.count("a", Share(DAY, 10)) == 10
        assert await other.count("b", Share(DAY, 5)) == 15
        assert await one.count("a", Share(DAY, 12, 10, 10)) == 17
        assert await other.count("b", Share(DAY, 5, 5, 15)) == 17

    play(scenario)


def test_a_later_life_goes_on_with_the_days_total(play: Play) -> None:
    async def scenario(one: BudgetStore, _: BudgetStore) -> None:
        await one.count("a", Share(DAY, 10))

    async def later(one: BudgetStore, _: BudgetStore) -> None:
        assert await one.count("b", Share(DAY)) == 10
        assert await one.count("b", Share(DAY, 1, 0, 10)) == 11

    play(scenario)
    play(later)


def test_a_share_that_comes_twice_or_late_counts_once(play: Play) -> None:
    async def scenario(one: BudgetStore, other: BudgetStore) -> None:
        await other.count("b", Share(DAY, 3))
        for _ in range(3):  # no answer came
            assert await one.count("a", Share(DAY, 10)) == 13
        assert await one.count("a", Share(DAY, 12)) == 15
        assert await one.count("a", Share(DAY, 10)) == 15  # was on its way for long
        assert await one.count("a", Share(DAY, 13, 12, 15)) == 16

    play(scenario)


def test_days_are_counted_apart(play: Play) -> None:
    async def scenario(one: BudgetStore, other: BudgetStore) -> None:
        assert await one.count("a", Share(DAY, 10)) == 10
        assert await one.count("a", Share(DAY + 1, 1)) == 1
        assert await other.count("b", Share(DAY, 5)) == 15
        assert await other.count("b", Share(DAY + 1)) == 1

    play(scenario)


def test_accounts_are_counted_apart_and_from_all(play: Play) -> None:
    async def scenario(one: BudgetStore, other: BudgetStore) -> None:
        assert await one.count("a", Share(DAY, 30)) == 30
        assert await one.count("a", Share(DAY, 10, account="key:one")) == 10
        assert await other.count("b", Share(DAY, 5, account="key:one")) == 15
        assert await other.count("b", Share(DAY, 1, account="key:two {}\n")) == 1
        assert await other.count("b", Share(DAY)) == 30

    async def later(one: BudgetStore, _: BudgetStore) -> None:
        assert await one.count("c", Share(DAY, account="key:one")) == 15

    play(scenario)
    play(later)


def test_what_a_store_lost_is_brought_back_by_who_knows_of_it(play: Play) -> None:
    async def scenario(one: BudgetStore, other: BudgetStore) -> None:
        assert await one.count("a", Share(DAY)) == 0
        assert await one.count("a", Share(DAY, 40, 40, 100)) == 100
        assert await other.count("b", Share(DAY, 65, 60, 98)) == 105
        assert await one.count("a", Share(DAY, 50, 40, 100)) == 115

    play(scenario)


def test_lives_beyond_the_bound_are_forgotten_and_their_credits_are_not(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_in_all(monkeypatch, budget_module, "LIVES_MAX", 3)

    async def scenario(one: BudgetStore, other: BudgetStore) -> None:
        first = await other.count("first", Share(DAY, 7))
        for number in range(8):
            total = await one.count(f"life {number}", Share(DAY, 1))
        assert total == 15
        assert await other.count("first", Share(DAY, 9, 7, first)) == 17

    play(scenario)


def test_shares_that_come_at_once_are_all_counted(play: Play) -> None:
    async def scenario(one: BudgetStore, other: BudgetStore) -> None:
        handed_in = [
            store.count(f"{name} {number}", Share(DAY, number + 1))
            for number in range(20)
            for name, store in (("one", one), ("other", other))
        ]
        totals = await asyncio.gather(*handed_in)
        assert max(totals) == sum(range(21)) * 2
        assert len(set(totals)) == len(totals)

    play(scenario)


def test_every_implementation_counts_alike(play: Play) -> None:
    dice = random.Random(7)
    stored: dict[str, int] = {}
    steps = [
        (f"life {dice.randrange(3)}", Share(DAY, *sorted(dice.choices(range(50), k=3))))
        for _ in range(200)
    ]

    async def scenario(one: BudgetStore, _: BudgetStore) -> None:
        total = 0
        for life, (day, counted, spent, known, account) in steps:
            share = Share(day, spent, counted, known, account)
            expected = share.total_with(total, stored.get(life, 0))
            assert await one.count(life, share) == expected
            if expected > total:
                total = expected
                stored[life] = max(stored.get(life, 0), spent)

    play(scenario)
