import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_rpc import Bench, Hang, Reply, bench, error, run

from wd_server.chain.assets import (
    BATCH,
    FAILED_SECONDS,
    KNOWN_SECONDS,
    MAX_LOADING,
    MAX_SYMBOL,
    REFUSED_SECONDS,
    UNKNOWN_SECONDS,
    Assets,
    clean_symbol,
)

# Letters, marks and others that nobody sees, of no category that says so.
INVISIBLE_LETTERS = (
    *("\u034f", "\u115f", "\u1160", "\u17b4", "\u17b5", "\u180b", "\u180f", "\u3164"),
    *("\ufe00", "\ufe0f", "\uffa0", "\U000e0100", "\U000e01ef"),
)
FOREVER = 10.0  # seconds; a test that needs them has failed


def asset(mint: str, symbol: Any = None, **more: Any) -> dict[str, Any]:
    metadata = {"symbol": symbol or mint.upper(), "name": f"The {mint}"}
    return {"id": mint, "content": {"metadata": metadata}, "token_info": {"decimals": 6}} | more


def das(known: Callable[[str], Any] = asset) -> Callable[[Any], Reply]:
    def answer(request: Any) -> Reply:
        assets = [known(mint) for mint in request["params"]["ids"]]
        return Reply({"jsonrpc": "2.0", "id": request["id"], "result": assets})

    return answer


@asynccontextmanager
async def setup(capacity: int = 1000) -> AsyncGenerator[tuple[Bench, Assets], None]:
    async with bench() as b:
        b.server.otherwise = das()
        assets = Assets(b.rpc, clock=b.time.clock, capacity=capacity)
        yield b, assets
        await assets.close()


def test_symbols_come_by_mint_and_are_asked_for_once():
    async def main():
        async with setup() as (b, assets):
            assert await assets.symbols(["a", "b", "a"], FOREVER) == {"a": "A", "b": "B"}
            assert await assets.symbols(["b"], FOREVER) == {"b": "B"}
            assert [r["params"]["ids"] for r in b.server.requests] == [["a", "b"]]

    run(main)


def test_no_mints_need_no_call():
    async def main():
        async with setup() as (b, assets):
            assert await assets.symbols([]) == {}
            assert b.server.requests == []

    run(main)


def test_many_mints_are_asked_for_in_batches():
    async def main():
        async with setup() as (b, assets):
            mints = [f"m{n}" for n in range(2 * BATCH + 1)]
            assert len(await assets.symbols(mints, FOREVER)) == len(mints)
            assert [len(r["params"]["ids"]) for r in b.server.requests] == [BATCH, BATCH, 1]

    run(main)


def test_everybody_who_asks_at_once_shares_one_call():
    async def main():
        async with setup() as (b, assets):
            answers = await asyncio.gather(*(assets.symbols(["a"], FOREVER) for _ in range(10)))
            assert answers == [{"a": "A"}] * 10
            assert len(b.server.requests) == 1

    run(main)


def test_who_cannot_wait_gets_what_is_known_and_the_rest_comes_for_the_next():
    async def main():
        async with setup() as (_, assets):
            await assets.symbols(["a"], FOREVER)
            assert await assets.symbols(["a", "b"], 0.0) == {"a": "A"}
            assert await assets.symbols(["a", "b"], FOREVER) == {"a": "A", "b": "B"}

    run(main)


def test_a_caller_that_is_cancelled_does_not_take_the_call_from_others():
    async def main():
        async with setup() as (_, assets):
            impatient = asyncio.create_task(assets.symbols(["a"], FOREVER))
            await asyncio.sleep(0)
            impatient.cancel()
            assert await assets.symbols(["a"], FOREVER) == {"a": "A"}

    run(main)


def test_an_unknown_mint_is_not_asked_for_again_for_a_while():
    async def main():
        async with setup() as (b, assets):
            b.server.otherwise = das(lambda mint: None)
            assert await assets.symbols(["a"], FOREVER) == {}
            assert await assets.symbols(["a"], FOREVER) == {}
            assert len(b.server.requests) == 1
            b.time.now += UNKNOWN_SECONDS
            b.server.otherwise = das()
            assert await assets.symbols(["a"], FOREVER) == {"a": "A"}

    run(main)


def test_a_symbol_is_looked_up_again_after_a_day_and_shown_meanwhile():
    async def main():
        async with setup() as (b, assets):
            await assets.symbols(["a"], FOREVER)
            b.time.now += KNOWN_SECONDS
            b.server.otherwise = das(lambda mint: asset(mint, "NEW"))
            assert await assets.symbols(["a"], 0.0) == {"a": "A"}
            assert await assets.symbols(["a"], FOREVER) == {"a": "NEW"}

    run(main)


@pytest.mark.parametrize(
    "trouble", [Reply(b"", 503), Reply(b"max usage reached"), Reply(b"?"), error(-32602)]
)
def test_trouble_at_the_upstream_is_never_raised_and_passes(trouble: Any):
    async def main():
        async with setup() as (b, assets):
            b.server.otherwise = lambda request: trouble(request) if callable(trouble) else trouble
            assert await assets.symbols(["a"], FOREVER) == {}
            b.server.otherwise = das()
            b.time.now += max(UNKNOWN_SECONDS, FAILED_SECONDS)
            assert await assets.symbols(["a"], FOREVER) == {"a": "A"}

    run(main)


def test_a_symbol_that_is_known_survives_a_failed_renewal():
    async def main():
        async with setup() as (b, assets):
            await assets.symbols(["a"], FOREVER)
            b.time.now += KNOWN_SECONDS
            b.server.otherwise = lambda _: Reply(b"", 503)
            assert await assets.symbols(["a"], FOREVER) == {"a": "A"}

    run(main)


def test_an_upstream_without_das_is_left_alone_for_long():
    async def main():
        async with setup() as (b, assets):
            b.server.otherwise = error(-32601)
            assert await assets.symbols(["a"], FOREVER) == {}
            assert await assets.symbols(["b"], FOREVER) == {}
            assert len(b.server.requests) == 1
            b.time.now += REFUSED_SECONDS
            b.server.otherwise = das()
            assert await assets.symbols(["a"], FOREVER) == {"a": "A"}

    run(main)


def test_the_least_used_mints_are_forgotten_when_there_are_too_many():
    async def main():
        async with setup(capacity=2) as (b, assets):
            await assets.symbols(["a", "b"], FOREVER)
            await assets.symbols(["a"], FOREVER)
            await assets.symbols(["c"], FOREVER)
            assert assets.statistics().cached == 2
            b.server.requests.clear()
            await assets.symbols(["a", "c"], FOREVER)
            assert b.server.requests == []

    run(main)


def test_more_mints_than_can_be_loaded_at_once_are_bounded():
    async def main():
        async with setup() as (b, assets):
            b.server.otherwise = lambda _: Hang()
            await assets.symbols([f"m{n}" for n in range(MAX_LOADING + 500)], 0.0)
            assert assets.statistics().loading == MAX_LOADING

    run(main)


def test_closing_ends_the_calls_and_later_questions_get_what_is_known():
    async def main():
        async with setup() as (b, assets):
            b.server.otherwise = lambda _: Hang()
            await assets.symbols(["a"], 0.0)
            await b.server.hanging.wait()
            await assets.close()
            await b.server.dropped.wait()
            assert assets.statistics().loading == 0
            assert await assets.symbols(["a", "b"], FOREVER) == {}
            await assets.close()

    run(main)


@pytest.mark.parametrize(
    ("answer", "symbol"),
    [
        (
            {"id": "a", "token_info": {"symbol": "TI"}, "content": {"metadata": {"symbol": "M"}}},
            "TI",
        ),
        ({"id": "a", "content": {"metadata": {"name": "Only A Name"}}}, "Only A Name"),
        ({"id": "a", "content": {"metadata": {"symbol": 7, "name": ["x"]}}}, None),
        ({"id": "a", "content": None, "token_info": None}, None),
        ({"id": "a", "content": "hostile"}, None),
        ({"id": "someone else's", "content": {"metadata": {"symbol": "X"}}}, None),
        ({}, None),
        ("hostile", None),
        ({"id": "a", "token_info": {"symbol": "\u3164"}}, None),
    ],
)
def test_odd_assets_harm_nobody_else(answer: Any, symbol: str | None):
    async def main():
        async with setup() as (b, assets):
            b.server.otherwise = das(lambda mint: answer if mint == "a" else asset(mint))
            got = await assets.symbols(["a", "b"], FOREVER)
            assert got == {"b": "B"} | ({"a": symbol} if symbol else {})
            is_none = answer in ({}, "hostile") or "hostile" in answer.values()
            assert assets.statistics().unread == is_none

    run(main)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("BONK", "BONK"),
        ("BONK\0\0\0\0", "BONK"),
        ("  W I F \u3000", "W I F"),
        ("A\r\ndata: {}\r\n\r\n", "Adata: {}"),
        ("\u202eCDSU\u202c", "CDSU"),
        ("\u200b\ufeff", None),
        *((f"{each}US{each}DC{each}", "USDC") for each in INVISIBLE_LETTERS),
        *((each, None) for each in INVISIBLE_LETTERS),
        ("\u2800US\u2800\u2800DC", "US DC"),
        ("\u2800", None),
        ("\u0301\u0301", None),
        ("\u2764\ufe0f", "\u2764"),
        ("USD\u0421", "USD\u0421"),
        ("n\u0303", "n\u0303"),
        ("", None),
        ("X" * 1000, "X" * MAX_SYMBOL),
        ("\U0001f680", "\U0001f680"),
        (None, None),
        (12, None),
    ],
)
def test_a_symbol_is_cleaned_before_it_is_shown(text: object, shown: str | None):
    assert clean_symbol(text) == shown


@given(st.text())
def test_a_clean_symbol_is_short_printable_and_stays_as_it_is(text: str):
    shown = clean_symbol(text)
    if shown is not None:
        assert 0 < len(shown) <= MAX_SYMBOL
        assert shown.isprintable()
        assert clean_symbol(shown) == shown
