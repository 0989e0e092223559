"""Quotes against a publisher on loopback that behaves as badly as publishers do."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tornado.curl_httpclient import CurlAsyncHTTPClient
from tornado.httpclient import HTTPRequest, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.netutil import bind_sockets

from wd_server.chain.price_sources import BIRDEYE_SPAN, Birdeye, DefiLlama, PriceKey, PriceSource
from wd_server.chain.quotes import (
    BACKOFF_FIRST_SECONDS,
    BACKOFF_MAX_SECONDS,
    BODY_MAX,
    MISSING_SECONDS,
    PARALLEL_REQUESTS,
    HttpQuotes,
    NoQuotes,
)

SOL = "So11111111111111111111111111111111111111112"
MEME = "2GaUUmQFCHSMLRMySzjvdqwLCcGVdUpcsQDanpjwmoon"
MINUTE = 29_166_667
KEY: PriceKey = (SOL, MINUTE)
SECRET = "birdeye-key-nobody-may-see"

Answer = bytes | tuple[int, dict[str, str], bytes] | None


class Publisher:
    """Answers every request with what `answer` makes of it, None: not at all."""

    def __init__(self) -> None:
        self.answer: Callable[[HTTPServerRequest], Answer] = llama
        self.requests: list[HTTPServerRequest] = []
        self.base_url = ""

    def __call__(self, request: HTTPServerRequest) -> None:
        self.requests.append(request)
        answer = self.answer(request)
        if answer is None:
            return
        status, headers, body = answer if isinstance(answer, tuple) else (200, {}, answer)
        length = headers.pop("Content-Length", str(len(body)))
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {length}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        connection: Any = request.connection
        stream = connection.detach()
        stream.write("\r\n".join([*lines, "", ""]).encode() + body)
        stream.close()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Client(CurlAsyncHTTPClient):
    """Knows when its last transfer has ended, so that it isn't closed under one."""

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        self.transfers = 0
        self.is_idle = asyncio.Event()
        self.is_idle.set()
        self.is_closed = False

    def fetch_impl(self, request: HTTPRequest, callback: Callable[[HTTPResponse], None]) -> None:
        def ended(response: HTTPResponse) -> None:
            self.transfers -= 1
            if not self.transfers:
                self.is_idle.set()
            callback(response)

        self.transfers += 1
        self.is_idle.clear()
        super().fetch_impl(request, ended)

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            super().close()


class Setup:
    def __init__(self, publisher: Publisher, client: Client) -> None:
        self.publisher = publisher
        self.client = client
        self.clock = Clock()

    def quotes(self, source: PriceSource | None = None, **options: Any) -> HttpQuotes:
        source = source or DefiLlama(self.publisher.base_url)
        return HttpQuotes(self.client, source, clock=self.clock, **options)


@asynccontextmanager
async def publishing() -> AsyncIterator[Setup]:
    publisher = Publisher()
    server = HTTPServer(publisher)
    (socket,) = bind_sockets(0, "127.0.0.1")
    server.add_sockets([socket])
    publisher.base_url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    client = Client(force_instance=True)
    try:
        yield Setup(publisher, client)
    finally:
        server.stop()
        await server.close_all_connections()
        await client.is_idle.wait()
        client.close()


def run(scene: Callable[[Setup], Awaitable[None]]) -> None:
    async def play() -> None:
        async with publishing() as setup:
            await scene(setup)

    asyncio.run(play())


def asked(request: HTTPServerRequest) -> dict[str, list[int]]:
    coins: dict[str, list[int]] = json.loads(
        parse_qs(urlsplit(request.uri or "").query)["coins"][0]
    )
    return coins


def llama(request: HTTPServerRequest) -> bytes:
    """Every coin at 100 and the last digits of its minute, a point eleven seconds off."""
    return coins(
        {
            coin: [
                f'{{"timestamp":{at + 11},"price":100.{at // 60 % 10000:04},"confidence":0.99}}'
                for at in times
            ]
            for coin, times in asked(request).items()
        }
    )


def coins(prices: Mapping[str, list[str]]) -> bytes:
    body = ",".join(
        f'"{coin}":{{"symbol":"X","prices":[{",".join(points)}]}}'
        for coin, points in prices.items()
    )
    return f'{{"coins":{{{body}}}}}'.encode()


def sol_at(price: str, minute: int = MINUTE) -> Callable[[HTTPServerRequest], bytes]:
    point = f'{{"timestamp":{minute * 60},"price":{price}}}'
    return lambda _: coins({f"solana:{SOL}": [point]})


def test_without_a_source_nothing_is_priced() -> None:
    quotes = NoQuotes()
    assert asyncio.run(quotes.prices([KEY])) == {}
    assert quotes.statistics().requests == 0


def test_prices_come_for_each_mint_and_minute() -> None:
    async def scene(setup: Setup) -> None:
        found = await setup.quotes().prices([KEY, (SOL, MINUTE + 60), (MEME, MINUTE), KEY])
        assert found == {
            KEY: Decimal("100.6667"),
            (SOL, MINUTE + 60): Decimal("100.6727"),
            (MEME, MINUTE): Decimal("100.6667"),
        }
        (request,) = setup.publisher.requests
        assert request.path == "/batchHistorical"
        assert asked(request) == {
            f"solana:{SOL}": [MINUTE * 60, MINUTE * 60 + 3600],
            f"solana:{MEME}": [MINUTE * 60],
        }

    run(scene)


def test_nothing_wanted_asks_nothing() -> None:
    async def scene(setup: Setup) -> None:
        assert await setup.quotes().prices([]) == {}
        assert setup.publisher.requests == []

    run(scene)


def test_a_price_is_asked_for_once() -> None:
    async def scene(setup: Setup) -> None:
        quotes = setup.quotes()
        first = await quotes.prices([KEY])
        setup.clock.now += 10**9
        assert await quotes.prices(iter([KEY])) == first
        assert len(setup.publisher.requests) == 1
        statistics = quotes.statistics()
        assert (statistics.hits, statistics.misses, statistics.cached) == (1, 1, 1)

    run(scene)


def test_an_unknown_coin_is_asked_for_again_only_later() -> None:
    async def scene(setup: Setup) -> None:
        setup.publisher.answer = lambda _: b'{"coins":{}}'
        quotes = setup.quotes()
        for _ in range(3):
            assert await quotes.prices([KEY]) == {}
        assert len(setup.publisher.requests) == 1
        setup.publisher.answer = llama
        setup.clock.now += MISSING_SECONDS
        assert KEY in await quotes.prices([KEY])

    run(scene)


def test_many_prices_come_in_batches_with_short_addresses() -> None:
    wanted = [(f"{n % 250:044}", MINUTE + n) for n in range(1000)]

    async def scene(setup: Setup) -> None:
        assert len(await setup.quotes().prices(wanted)) == 1000
        assert len(setup.publisher.requests) < 25
        assert max(len(request.uri or "") for request in setup.publisher.requests) < 8000

    run(scene)


def test_the_cache_is_bounded_and_keeps_what_was_used_last() -> None:
    async def scene(setup: Setup) -> None:
        quotes = setup.quotes(cache_size=3)
        wanted = [(SOL, MINUTE + n) for n in range(100)]
        assert len(await quotes.prices(wanted)) == 100
        assert quotes.statistics().cached == 3
        await quotes.prices(wanted[97:98])
        await quotes.prices([(MEME, MINUTE)])
        asked_so_far = len(setup.publisher.requests)
        await quotes.prices(wanted[97:98])
        assert len(setup.publisher.requests) == asked_so_far
        await quotes.prices(wanted[98:99])
        assert len(setup.publisher.requests) == asked_so_far + 1

    run(scene)


def test_a_minute_gets_the_nearest_point_but_none_that_is_far_off() -> None:
    at = MINUTE * 60

    async def scene(setup: Setup) -> None:
        points = [(at + 3000, "3"), (at - 100, "1"), (at + 90, "2"), (at + 90_000, "9")]
        body = coins({f"solana:{SOL}": [f'{{"timestamp":{t},"price":{p}}}' for t, p in points]})
        setup.publisher.answer = lambda _: body
        wanted = [KEY, (SOL, MINUTE - 30), (SOL, MINUTE + 600)]
        assert await setup.quotes().prices(wanted) == {KEY: 2, (SOL, MINUTE - 30): 1}

    run(scene)


def test_a_quote_that_is_older_than_its_token_moves_is_refused() -> None:
    """An hour is little for SOL and long for a new token."""
    at = MINUTE * 60

    async def scene(setup: Setup) -> None:
        old, new = f'{{"timestamp":{at - 3300},"price":1}}', f'{{"timestamp":{at + 240},"price":2}}'
        setup.publisher.answer = lambda _: coins({f"solana:{SOL}": [old], f"solana:{MEME}": [old]})
        assert await setup.quotes().prices([KEY, (MEME, MINUTE)]) == {KEY: 1}
        setup.publisher.answer = lambda _: coins({f"solana:{MEME}": [old, new]})
        assert await setup.quotes().prices([(MEME, MINUTE)]) == {(MEME, MINUTE): 2}

    run(scene)


def test_prices_are_read_as_they_are_written() -> None:
    async def scene(setup: Setup) -> None:
        for text in ("0.1000000000000000055511151231257827", "1.23e-17", "147.63215", "12"):
            setup.publisher.answer = sol_at(text)
            found = await setup.quotes().prices([KEY])
            assert found == {KEY: Decimal(text)}

    run(scene)


@pytest.mark.parametrize(
    "text",
    [
        "null",
        '"NaN"',
        '"sNaN"',
        '"Infinity"',
        "-1.5",
        "0",
        "1e30",
        "1e-99",
        "1e999999",
        "1." + "1" * 99,
    ],
)
def test_a_price_that_cannot_be_is_no_price_and_no_failure(text: str) -> None:
    async def scene(setup: Setup) -> None:
        setup.publisher.answer = lambda request: coins(
            {
                f"solana:{SOL}": [f'{{"timestamp":{MINUTE * 60},"price":{text}}}'] * 2,
                f"solana:{MEME}": [f'{{"timestamp":{MINUTE * 60},"price":5}}'],
            }
        )
        quotes = setup.quotes()
        assert await quotes.prices([KEY, (MEME, MINUTE)]) == {(MEME, MINUTE): 5}
        statistics = quotes.statistics()
        assert (statistics.failures, statistics.backing_off) == ({}, False)
        assert statistics.rejected == (text != "null")

    run(scene)


@pytest.mark.parametrize(
    "coin", ["7", "null", '{"prices":7}', '{"prices":[7,null,{"timestamp":null,"price":5}]}']
)
def test_what_cannot_be_read_of_one_coin_costs_no_other_its_price(coin: str) -> None:
    async def scene(setup: Setup) -> None:
        price = f'{{"prices":[{{"timestamp":{MINUTE * 60},"price":5}}]}}'
        body = f'{{"coins":{{"solana:{SOL}":{coin},"solana:{MEME}":{price}}}}}'.encode()
        setup.publisher.answer = lambda request: body
        quotes = setup.quotes()
        assert await quotes.prices([KEY, (MEME, MINUTE)]) == {(MEME, MINUTE): 5}
        statistics = quotes.statistics()
        assert (statistics.failures, statistics.backing_off) == ({}, False)
        assert statistics.rejected == (3 if "timestamp" in coin else 1)

    run(scene)


@pytest.mark.parametrize(
    "point", ["{}", "null", '{"value":5,"unixTime":-1}', '{"value":"x","unixTime":1}']
)
def test_a_point_of_birdeyes_that_cannot_be_read_costs_no_other(point: str) -> None:
    async def scene(setup: Setup) -> None:
        good = f'{{"unixTime":{MINUTE * 60},"value":5}}'
        body = f'{{"success":true,"data":{{"items":[{point},{good}]}}}}'.encode()
        setup.publisher.answer = lambda _: body
        quotes = setup.quotes(unpaced(setup.publisher.base_url))
        assert await quotes.prices([KEY]) == {KEY: 5}
        assert (quotes.statistics().failures, quotes.statistics().rejected) == ({}, 1)

    run(scene)


def test_a_price_its_own_publisher_doubts_is_no_price() -> None:
    async def scene(setup: Setup) -> None:
        for confidence in ("0.1", '"NaN"'):
            point = f'{{"timestamp":{MINUTE * 60},"price":5,"confidence":{confidence}}}'
            body = coins({f"solana:{SOL}": [point]})
            setup.publisher.answer = lambda _, body=body: body
            quotes = setup.quotes()
            assert await quotes.prices([KEY]) == {}
            assert quotes.statistics().failures == {}

    run(scene)


FAILURES: list[tuple[Answer, str]] = [
    ((500, {}, b"oops"), "unavailable"),
    ((503, {"Retry-After": "soon"}, b""), "unavailable"),
    ((302, {"Location": "/elsewhere"}, b""), "unavailable"),
    ((414, {}, b""), "unavailable"),
    ((401, {}, b""), "refused"),
    ((403, {}, b""), "refused"),
    ((429, {}, b"slow down"), "rate_limit"),
    ((200, {"Content-Length": "5000"}, b'{"coins":{'), "unavailable"),
    (b'{"coins":{', "bad_body"),
    (b"max usage reached", "bad_body"),
    (b"", "bad_body"),
    (b"[]", "bad_body"),
    (b'{"coins":7}', "bad_body"),
    (b'{"coins":{"solana:x":' + b"[" * 100_000, "bad_body"),
    (b"\xff\xfe", "bad_body"),
    ((200, {"Content-Length": str(BODY_MAX + 1)}, b"x"), "unavailable"),
    (b'{"coins":{}}' + b" " * BODY_MAX, "unavailable"),
    (None, "unavailable"),
]


@pytest.mark.parametrize(("answer", "kind"), FAILURES)
def test_a_failure_is_counted_and_the_source_left_alone_for_a_while(
    answer: Answer, kind: str
) -> None:
    async def scene(setup: Setup) -> None:
        setup.publisher.answer = lambda _: answer
        quotes = setup.quotes(request_timeout=0.2)
        assert await quotes.prices([KEY]) == {}
        assert quotes.statistics().failures == {kind: 1}
        assert quotes.statistics().backing_off
        assert await quotes.prices([KEY]) == {}
        assert len(setup.publisher.requests) == 1
        setup.publisher.answer = llama
        setup.clock.now += BACKOFF_MAX_SECONDS
        assert KEY in await quotes.prices([KEY])
        assert not quotes.statistics().backing_off

    run(scene)


def test_a_dead_source_costs_ever_fewer_requests_until_it_is_back() -> None:
    async def scene(setup: Setup) -> None:
        setup.publisher.answer = lambda _: (500, {}, b"")
        quotes = setup.quotes()
        for second in range(2000):
            setup.clock.now = 1000.0 + second
            await quotes.prices([KEY])
        assert 8 <= len(setup.publisher.requests) <= 14
        setup.publisher.answer = llama
        setup.clock.now += BACKOFF_MAX_SECONDS
        await quotes.prices([KEY])
        setup.publisher.answer = lambda _: (500, {}, b"")
        await quotes.prices([(MEME, MINUTE)])
        setup.clock.now += BACKOFF_FIRST_SECONDS
        assert not quotes.statistics().backing_off

    run(scene)


def test_a_source_that_fails_is_not_asked_the_rest_of_the_batch() -> None:
    wanted = [(SOL, MINUTE + n) for n in range(1200)]

    async def scene(setup: Setup) -> None:
        setup.publisher.answer = lambda _: (500, {}, b"")
        quotes = setup.quotes()
        assert await quotes.prices(wanted) == {}
        assert len(setup.publisher.requests) <= PARALLEL_REQUESTS
        setup.clock.now += BACKOFF_FIRST_SECONDS
        assert not quotes.statistics().backing_off

    run(scene)


def test_what_is_remembered_is_given_while_the_source_is_down() -> None:
    async def scene(setup: Setup) -> None:
        quotes = setup.quotes()
        await quotes.prices([KEY])
        setup.publisher.answer = lambda _: (500, {}, b"")
        assert list(await quotes.prices([KEY, (MEME, MINUTE)])) == [KEY]
        assert list(await quotes.prices([KEY, (MEME, MINUTE)])) == [KEY]

    run(scene)


def test_retry_after_is_waited_for_but_not_for_ever() -> None:
    async def scene(setup: Setup) -> None:
        for advised, pause in (("60", 60.0), ("99999", BACKOFF_MAX_SECONDS)):
            setup.publisher.answer = lambda _, a=advised: (429, {"Retry-After": a}, b"")
            quotes = setup.quotes()
            await quotes.prices([KEY])
            setup.clock.now += pause - 1
            assert quotes.statistics().backing_off
            setup.clock.now += 1
            assert not quotes.statistics().backing_off

    run(scene)


def test_a_connection_refused_is_a_failure_like_any_other() -> None:
    async def scene(setup: Setup) -> None:
        quotes = setup.quotes(DefiLlama("http://127.0.0.1:1"))
        assert await quotes.prices([KEY]) == {}
        assert quotes.statistics().failures == {"unavailable": 1}

    run(scene)


def test_a_closed_client_is_a_failure_like_any_other() -> None:
    async def scene(setup: Setup) -> None:
        quotes = setup.quotes()
        setup.client.close()
        assert await quotes.prices([KEY]) == {}
        assert quotes.statistics().failures == {"unavailable": 1}

    run(scene)


def test_the_deadline_gives_what_is_there_and_the_rest_can_be_had_later() -> None:
    wanted = [(SOL, MINUTE + n) for n in range(61)]

    async def scene(setup: Setup) -> None:
        setup.publisher.answer = lambda request: (
            llama(request) if len(setup.publisher.requests) == 1 else None
        )
        quotes = setup.quotes(deadline=0.5, request_timeout=60.0)
        assert len(await quotes.prices(wanted)) in (1, 60)
        assert quotes.statistics().failures == {"late": 1}
        setup.publisher.answer = llama
        assert len(await quotes.prices(wanted)) == 61

    run(scene)


def test_a_caller_that_is_cancelled_leaves_nothing_behind() -> None:
    async def scene(setup: Setup) -> None:
        arrived = asyncio.Event()

        def hang(_: HTTPServerRequest) -> Answer:
            arrived.set()
            return None

        setup.publisher.answer = hang
        quotes = setup.quotes(request_timeout=0.3)
        task = asyncio.create_task(quotes.prices([KEY]))  # type: ignore[arg-type]
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not [task for task in asyncio.all_tasks() if "HttpQuotes" in repr(task)]
        setup.publisher.answer = llama
        assert KEY in await quotes.prices([KEY])

    run(scene)


def birdeye(request: HTTPServerRequest) -> bytes:
    query = {
        name: values[0] for name, values in parse_qs(urlsplit(request.uri or "").query).items()
    }
    if request.path == "/defi/historical_price_unix":
        at = int(query["unixtime"])
        return b'{"success":true,"data":{"value":1.25,"updateUnixTime":%d}}' % (at - 20)
    assert query["type"] == "1m"
    points = range(int(query["time_from"]), int(query["time_to"]) + 1, 60)
    items = ",".join(f'{{"unixTime":{at},"value":{at // 60 % 1000 + 1}}}' for at in points)
    return f'{{"success":true,"data":{{"items":[{items}]}}}}'.encode()


def unpaced(base_url: str) -> Birdeye:
    source = Birdeye(SECRET, base_url)
    source.spacing = 0.0
    return source


def test_birdeye_is_asked_for_single_prices_or_a_stretch_whichever_costs_less() -> None:
    few = [(MEME, MINUTE + n * 5) for n in range(3)]
    many = [(SOL, MINUTE + n * 10) for n in range(BIRDEYE_SPAN // 10 + 50)]

    async def scene(setup: Setup) -> None:
        setup.publisher.answer = birdeye
        quotes = setup.quotes(unpaced(setup.publisher.base_url))
        found = await quotes.prices([*many, *few])
        assert found == {key: Decimal("1.25") for key in few} | {
            key: Decimal(key[1] % 1000 + 1) for key in many
        }
        paths = sorted(request.path for request in setup.publisher.requests)
        assert paths == ["/defi/historical_price_unix"] * 3 + ["/defi/history_price"] * 2
        for request in setup.publisher.requests:
            assert request.headers["X-API-KEY"] == SECRET
            assert request.headers["x-chain"] == "solana"

    run(scene)


@pytest.mark.parametrize(
    "body",
    [
        b'{"success":false,"message":"no"}',
        b'{"success":true,"data":null}',
        b'{"success":true,"data":{"value":null}}',
        b'{"success":true,"data":{"items":[]}}',
        b'{"success":true,"data":{"value":3,"updateUnixTime":1}}',
    ],
)
def test_birdeye_not_knowing_a_token_is_no_failure(body: bytes) -> None:
    async def scene(setup: Setup) -> None:
        setup.publisher.answer = lambda _: body
        quotes = setup.quotes(unpaced(setup.publisher.base_url))
        assert await quotes.prices([KEY]) == {}
        assert quotes.statistics().failures == {}

    run(scene)


def test_birdeye_is_asked_one_at_a_time_at_its_pace() -> None:
    async def scene(setup: Setup) -> None:
        setup.publisher.answer = birdeye
        source = Birdeye(SECRET, setup.publisher.base_url)
        quotes = setup.quotes(source, deadline=0.3)
        # The clock stands still, so the second request never gets its turn before the deadline.
        assert len(await quotes.prices([KEY, (MEME, MINUTE)])) == 1
        assert len(setup.publisher.requests) == 1
        assert not quotes.statistics().backing_off
        setup.clock.now += source.spacing
        assert len(await quotes.prices([KEY, (MEME, MINUTE)])) == 2

    run(scene)


def test_the_key_is_in_no_log_and_no_statistic(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    async def scene(setup: Setup) -> None:
        caplog.set_level("DEBUG")
        source = unpaced(setup.publisher.base_url)
        quotes = setup.quotes(source, request_timeout=0.2)
        for answer, _ in FAILURES:
            setup.publisher.answer = lambda _, a=answer: a
            await quotes.prices([KEY])
            setup.clock.now += BACKOFF_MAX_SECONDS + MISSING_SECONDS
        assert quotes.statistics().requests == len(FAILURES)
        assert SECRET not in caplog.text
        assert SECRET not in f"{quotes.statistics()!r} {quotes!r} {source!r}"

    run(scene)
    assert SECRET not in "".join(capfd.readouterr())
