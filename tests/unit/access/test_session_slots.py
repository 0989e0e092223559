"""Ending many streams: all of them, once, and the event loop breathes meanwhile."""

import asyncio
from time import perf_counter

from wd_server.access import session_slots as slots
from wd_server.access.key_index import Ended
from wd_server.access.principal import Principal
from wd_server.access.session_slots import Ending, SessionSlots

NOW = 1_700_000_000.0
NOTHING = Ended({}, frozenset())


def principal(
    key_id: str | None, jti: str | None = None, expires_at: float | None = None
) -> Principal:
    return Principal("who", None, 0, 0, expires_at, key_id, jti)


def test_many_ends_let_others_run_in_between() -> None:
    turns = 0

    def slow(_: Ending) -> None:
        until = perf_counter() + 0.001
        while perf_counter() < until:
            pass

    async def breathe() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def scenario() -> None:
        inside = SessionSlots(lambda _: None)
        for _ in range(100):
            inside.add(principal("a"), slow)
        breathing = asyncio.create_task(breathe())
        await slots.end(inside.due(Ended({"a": True}, frozenset()), NOW))
        breathing.cancel()

    asyncio.run(scenario())
    assert turns >= 10


def test_each_is_told_once_with_the_reason_that_counts() -> None:
    async def scenario() -> None:
        told: list[tuple[str, Ending]] = []
        left: list[Principal] = []
        inside = SessionSlots(left.append)
        who = {
            "key": principal("a"),
            "token": principal("a", "t1", NOW + 100),
            "expired": principal("b", "t2", NOW - 1),
            "revoked token": principal("b", "t3", NOW + 100),
            "stays": principal("b", "t4", NOW + 100),
            "anonymous": principal(None),
        }
        entered = {
            name: inside.add(each, lambda reason, name=name: told.append((name, reason)))  # type: ignore[misc]
            for name, each in who.items()
        }
        ended = Ended({"a": True, "unknown": False}, frozenset({"t3", "t9"}))
        for _ in range(2):
            await slots.end(inside.due(ended, NOW))
        assert sorted(told) == [
            ("expired", Ending.EXPIRED),
            ("key", Ending.REVOKED),
            ("revoked token", Ending.REVOKED),
            ("token", Ending.REVOKED),
        ]
        for slot in entered.values():
            slot.leave()
            slot.leave()
        assert len(left) == len(who)
        assert inside.count == 0
        assert inside.due(ended, NOW + 1000) == []

    asyncio.run(scenario())


def test_a_key_that_expired_is_no_revoked_one() -> None:
    inside = SessionSlots(lambda _: None)
    slot = inside.add(principal("a"), print)
    assert inside.due(Ended({"a": False}, frozenset()), NOW) == [(slot, Ending.EXPIRED)]
    assert inside.due(NOTHING, NOW) == []
