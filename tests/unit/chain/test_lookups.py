"""Transactions that were only told of are fetched together and handed on in order."""

import asyncio
from typing import Any

from scripted_chain import name_of, transaction
from scripted_rpc import Hang, Reply, bench, error, run
from structlog.testing import capture_logs

from wd_server.chain import lookups as looking
from wd_server.chain.lookups import Lookups


class World:
    """`absent`: how often a signature is answered with null first; `odd`: with what can't be
    read."""

    def __init__(self, b: Any) -> None:
        self.absent: dict[str, int] = {}
        self.odd: set[str] = set()
        self.found: list[tuple[str, list[str]]] = []
        self.missed: list[str] = []
        self.changed = asyncio.Event()
        b.server.otherwise = self.answer
        self.lookups = Lookups(
            b.rpc, self._on_found, self._on_missed, random=lambda: 0.5, sleep=b.time.sleep
        )

    def _on_found(self, found: Any, wallets: list[str]) -> None:
        self.found.append((name_of(found.signature), wallets))
        self.changed.set()

    def _on_missed(self, wallets: list[str]) -> None:
        self.missed += wallets
        self.changed.set()

    async def until(self, found: int, missed: int = 0) -> None:
        while len(self.found) < found or len(self.missed) < missed:
            self.changed.clear()
            await self.changed.wait()

    def answer(self, request: Any) -> Any:
        if isinstance(request, list):
            return Reply([self._one(each) for each in request])
        return Reply(self._one(request))

    def _one(self, each: dict[str, Any]) -> dict[str, Any]:
        signature = each["params"][0]
        left = self.absent.get(signature, 0)
        self.absent[signature] = left - 1
        result = None if left > 0 else transaction(7, 0, signature)
        if signature in self.odd and result is not None:
            result["meta"] = None
        return {"jsonrpc": "2.0", "id": each["id"], "result": result}


def test_many_go_into_few_requests_and_come_in_the_order_they_were_heard_of() -> None:
    async def main() -> None:
        async with bench() as b:
            world = World(b)
            for number in range(300):
                world.lookups.look_up(f"s{number}", "w")
            world.lookups.look_up("s299", "another")
            await world.until(300)
            assert [signature for signature, _ in world.found] == [f"s{n}" for n in range(300)]
            assert world.found[-1][1] == ["w", "another"]
            assert len(b.server.requests) <= looking.BATCHES_AT_ONCE + 3
            await world.lookups.close()

    run(main)


def test_one_that_is_not_there_yet_keeps_nobody_waiting_and_comes_later() -> None:
    async def main() -> None:
        async with bench() as b:
            world = World(b)
            world.absent["s0"] = 3
            for number in range(3):
                world.lookups.look_up(f"s{number}", "w")
            await world.until(3)
            assert [signature for signature, _ in world.found] == ["s1", "s2", "s0"]
            await world.lookups.close()

    run(main)


def test_one_that_never_comes_and_one_that_is_refused_are_left_to_the_history() -> None:
    async def main() -> None:
        async with bench() as b:
            world = World(b)
            world.absent["s0"] = 1000
            world.lookups.look_up("s0", "w")
            await world.until(0, 1)
            b.server.script = [error(-32602)]
            world.lookups.look_up("s1", "v")
            await world.until(0, 2)
            assert world.missed == ["w", "v"]
            world.lookups.look_up("s2", "u")
            await world.until(1)
            await world.lookups.close()

    run(main)


def test_one_that_cannot_be_read_costs_the_others_in_its_batch_nothing() -> None:
    async def main() -> None:
        async with bench() as b:
            world = World(b)
            world.odd = {"s7"}
            for number in range(10):
                world.lookups.look_up(f"s{number}", f"w{number}")
            await world.until(9, 1)
            right = [number for number in range(10) if number != 7]
            assert world.found == [(f"s{number}", [f"w{number}"]) for number in right]
            assert world.missed == ["w7"]
            assert world.lookups.unread == 1
            batches = [each for each in b.server.requests if isinstance(each, list)]
            assert [len(batch) for batch in batches] == [6], "nothing is asked for again"
            await world.lookups.close()

    run(main)


def test_a_bug_met_by_one_batch_keeps_no_later_one_from_being_handed_on() -> None:
    async def main() -> None:
        async with bench() as b:
            world = World(b)
            world.lookups._found = lambda found, wallets: 1 / 0  # type: ignore[assignment]
            world.lookups.look_up("s0", "w0")
            with capture_logs():
                await world.until(0, 1)
            world.lookups._found = world._on_found
            world.lookups.look_up("s1", "w1")
            await world.until(1)
            assert world.found == [("s1", ["w1"])]
            await world.lookups.close()

    run(main)


def test_what_is_under_way_ends_with_it() -> None:
    async def main() -> None:
        async with bench() as b:
            world = World(b)
            b.server.otherwise = lambda request: Hang()
            world.lookups.look_up("s0", "w")
            await b.server.hanging.wait()
            await world.lookups.close()
            assert world.missed == world.found == []

    run(main)


def test_more_than_can_wait_is_left_to_the_history(monkeypatch: Any) -> None:
    monkeypatch.setattr(looking, "WAITING_MAX", 2)

    async def main() -> None:
        async with bench() as b:
            world = World(b)
            b.server.otherwise = lambda request: Hang()
            for number in range(looking.BATCHES_AT_ONCE + 3):
                world.lookups.look_up(f"s{number}", f"w{number}")
            assert world.missed == [f"w{looking.BATCHES_AT_ONCE + 2}"]
            await world.lookups.close()

    run(main)
