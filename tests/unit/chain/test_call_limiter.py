"""Calls wait for the plan's rate and for a connection, and go in turns."""

import asyncio

import pytest
from scripted_rpc import Bench, bench, result, run

from wd_server.chain import call_limiter
from wd_server.chain.credits import Credits
from wd_server.chain.rpc import MAX_CONNECTIONS, RpcClient
from wd_server.chain.turns import Tenant, Turn
from wd_server.errors import CreditsSpent, UpstreamRateLimit

A, B = Tenant("key:a"), Tenant("key:b")


async def order(b: Bench, asked: list[tuple[str, Turn | None]]) -> list[str]:
    """The names of calls that wait together, as they arrive."""
    b.server.otherwise = result(1)
    calls = [b.rpc.call(name, [], int, turn=turn) for name, turn in asked]
    await asyncio.gather(*calls)
    return [each["method"] for each in b.server.requests]


def test_calls_that_wait_for_the_rate_go_round_by_tenant():
    async def main():
        async with bench(rate=5) as b:
            asked = [(f"a{number}", Turn(A)) for number in range(6)]
            arrived = await order(b, [*asked, ("b", Turn(B)), ("server", None)])
            # The first passes at once; the next was called before anybody else was there.
            assert set(arrived[1:4]) == {"a1", "b", "server"}

    run(main)


def test_calls_that_wait_for_a_connection_go_round_by_tenant():
    async def main():
        async with bench() as b:
            asked = [(f"a{number}", Turn(A)) for number in range(3 * MAX_CONNECTIONS)]
            arrived = await order(b, [*asked, ("b", Turn(B))])
            assert "b" in arrived[: MAX_CONNECTIONS + 2]

    run(main)


def test_a_call_whose_tenant_is_refused_its_turn_for_too_long_gives_up(
    monkeypatch: pytest.MonkeyPatch,
):
    async def main():
        async with bench(rate=1) as b:
            b.server.otherwise = result(1)
            await b.rpc.call("first", [], int)
            b.time.hold = True
            monkeypatch.setattr(call_limiter, "MAX_TURN_SECONDS", 2.0)
            with pytest.raises(UpstreamRateLimit):
                await b.rpc.call("late", [], int, turn=Turn(A))
            b.time.hold = False
            await b.rpc.call("next", [], int, turn=Turn(B))
            assert [each["method"] for each in b.server.requests] == ["first", "next"]

    run(main)


def test_who_gives_up_among_many_costs_the_others_nothing():
    async def main():
        async with bench(rate=2) as b:
            b.server.otherwise = result(1)
            await b.rpc.call("first", [], int)
            calls = [asyncio.create_task(b.rpc.call(f"{n}", [], int)) for n in range(6)]
            await asyncio.sleep(0)
            for number in (0, 2, 5):
                calls[number].cancel()
            ended = await asyncio.gather(*calls, return_exceptions=True)
            assert [each for each in ended if each == 1] == [1, 1, 1]
            assert len(b.server.requests) == 4
            assert sum(b.time.slept) == pytest.approx(1.5, abs=0.6)

    run(main)


def test_others_are_not_refused_because_one_tenant_has_filled_the_queue():
    async def main():
        async with bench(rate=1) as b:
            b.server.otherwise = result(1)
            await b.rpc.call("first", [], int)
            b.time.hold = True
            turn, refused = Turn(A), 0
            calls = []
            for number in range(200):
                calls.append(asyncio.create_task(b.rpc.call(f"a{number}", [], int, turn=turn)))
                await asyncio.sleep(0)
                refused += calls[-1].done()
            assert refused >= 70
            other = asyncio.create_task(b.rpc.call("b", [], int, turn=Turn(B)))
            await asyncio.sleep(0)
            assert not other.done()
            for call in (*calls, other):
                call.cancel()
            await asyncio.gather(*calls, other, return_exceptions=True)

    run(main)


def test_whose_turn_it_is_pays_and_a_first_read_without_credits_is_refused():
    async def main():
        async with bench() as b:
            account, poor = Credits(0, lambda: 1e9), Tenant("key:poor", 2)
            rpc = RpcClient(
                b.server.url, b.rpc._http, rpc_per_second=1e6, das_per_second=1e6, account=account
            )
            b.server.otherwise = result(1)
            turn = Turn(poor)
            turn.first = True
            for _ in range(2):
                await rpc.call("getSlot", [], int, turn=turn)
            with pytest.raises(CreditsSpent) as caught:
                await rpc.call("getSlot", [], int, turn=turn)
            assert (caught.value.code, caught.value.status) == ("UPSTREAM_QUOTA", 503)
            assert caught.value.retry_after == 86_400 - 1e9 % 86_400
            assert len(b.server.requests) == 2
            turn.join(A)  # somebody who may pays
            await rpc.call("getSlot", [], int, turn=turn)
            turn.leave(A)
            turn.first = False  # what was read before is looked at all the same
            await rpc.call("getSlot", [], int, turn=turn)

    run(main)
