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
        open_slots = SessionSlots(lambda _: None)
        for _ in range(100):
            open_slots.add(principal("a"), slow)
        breathing = asyncio.create_task(breathe())
        await slots.end(open_slots.due(Ended({"a": True}, frozenset()), NOW))
        breathing.cancel()

    asyncio.run(scenario())
    assert turns >= 10


def test_each_stream_is_ended_once_with_the_reason_that_counts() -> None:
    async def scenario() -> None:
        ended_as: list[tuple[str, Ending]] = []
        released: list[Principal] = []
        open_slots = SessionSlots(released.append)
        who = {
            "key": principal("a"),
            "token": principal("a", "t1", NOW + 100),
            "expired": principal("b", "t2", NOW - 1),
            "revoked token": principal("b", "t3", NOW + 100),
            "stays": principal("b", "t4", NOW + 100),
            "anonymous": principal(None),
        }
        taken = {
            name: open_slots.add(each, lambda reason, name=name: ended_as.append((name, reason)))  # type: ignore[misc]
            for name, each in who.items()
        }
        ended = Ended({"a": True, "unknown": False}, frozenset({"t3", "t9"}))
        for _ in range(2):
            await slots.end(open_slots.due(ended, NOW))
        assert sorted(ended_as) == [
            ("expired", Ending.EXPIRED),
            ("key", Ending.REVOKED),
            ("revoked token", Ending.REVOKED),
            ("token", Ending.REVOKED),
        ]
        for slot in taken.values():
            slot.release()
            slot.release()
        assert len(released) == len(who)
        assert open_slots.count == 0
        assert open_slots.due(ended, NOW + 1000) == []

    asyncio.run(scenario())


def test_a_key_that_expired_is_no_revoked_one() -> None:
    open_slots = SessionSlots(lambda _: None)
    slot = open_slots.add(principal("a"), print)
    assert open_slots.due(Ended({"a": False}, frozenset()), NOW) == [(slot, Ending.EXPIRED)]
    assert open_slots.due(NOTHING, NOW) == []
