"""What an upstream says, mutated: it is read, refused in part or one of our four upstream errors,
in time that grows with its bytes. What it makes is a trade as the contract has it."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from functools import cache
from time import process_time
from typing import Any

import msgspec
from budget import examples
from hypothesis import example, given
from hypothesis import strategies as st
from mutation import JSON, mutated

from wd_server import base58
from wd_server.chain import assets, pages, rpc
from wd_server.chain.history import _listed_signature
from wd_server.chain.payloads import (
    UNREADABLE,
    EnhancedTransaction,
    LogsNotification,
    Transaction,
    TransactionNotification,
    readable,
)
from wd_server.chain.price_sources import Birdeye, DefiLlama, Question
from wd_server.chain.quotes import PRICE_MAX, _is_sane
from wd_server.errors import UpstreamError
from wd_server.events import encoding
from wd_server.sync.book import Book
from wd_server.sync.interpreted import InterpretedTransaction, prices_for
from wd_server.trading.postings import balance_changes
from wd_server.trading.programs import SOL
from wd_tools.simulator.clock import Clock
from wd_tools.simulator.enhanced import enhanced
from wd_tools.simulator.market import Market

NOW = 1_800_000_000
# CPU seconds for a KB: what is read of one takes 10 microseconds on an idle machine.
SECONDS_A_KB = 0.001
# How much more is no failure: a busy machine, its caches cold, and what the test does itself.
TIMES_SLOWER, SECONDS_BESIDE = 20, 0.5

PIECES = (
    *(b"null", b"true", b"-1", b"1e999999999", b"1e-999999999", b"18446744073709551616", b"1.5"),
    *(
        b"30000000",
        b"1125899906842624",
        b'"',
        b'""',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\\u001b",
    ),
    *(b'"NaN"', b'"sNaN"', b'"=cmd()"', b'"-1e999999"', b"\x00", b"\xff", b"\\ud800", b"[" * 3000),
    *(b"9" * 400, b'{"pubkey":"a"}', "\u202e".encode(), b'"decimals":', b'"amount":"'),
)
ODD = JSON | st.sampled_from(
    (
        *(255, 256, 30_000_000, -1, 2**33, 2**50, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64),
        *("1", "-1", "18446744073709551615", "18446744073709551616", "²", "1_0", "x" * 100_000),
        *("1" * 32, "1" * 64, "1" * 88, "=cmd()", "\x1b[2J", "\u202e", SOL, "NaN", "Infinity"),
        *(None, [], {}, [None] * 300, {"pubkey": SOL}, [[]] * 1000),
    )
)


@contextmanager
def in_time(size: int) -> Iterator[None]:
    before = process_time()
    yield
    allowed = size / 1024 * SECONDS_A_KB * TIMES_SLOWER + SECONDS_BESIDE
    assert process_time() - before < allowed, f"{size} bytes took too long"


@cache
def told() -> tuple[str, list[Any], list[Any]]:
    """A wallet, and its transactions as a node and as an enhanced API has them."""
    market = Market(5, (60,), Clock(NOW, lambda: 0.0))
    wallet = asyncio.run(market.wallet(market.wallets[0].address))
    assert wallet is not None
    raw = [json.loads(b"{" + entry.body) for entry in wallet.entries]
    return wallet.address, raw, [enhanced(entry) for entry in wallet.entries]


@st.composite
def spoilt(draw: st.DrawFn, originals: list[Any]) -> bytes:
    """One to four values of it are others."""
    item = deepcopy(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        places = list(_places(item))
        if places:
            holder, at = draw(st.sampled_from(places))
            holder[at] = deepcopy(draw(ODD))  # it may be changed next, and is drawn again
    return json.dumps(item, default=str).encode("utf-8", "replace")


def _places(item: Any) -> Iterator[tuple[Any, Any]]:
    """Where a value stands: a holder and a key or an index."""
    for at in list(item) if isinstance(item, dict) else range(len(item)):
        yield item, at
        if isinstance(item[at], dict | list):
            yield from _places(item[at])


def changed(originals: list[Any]) -> st.SearchStrategy[bytes]:
    """Values that are others, bytes that are, and what has nothing of the original."""
    texts = [json.dumps(each, default=str).encode() for each in originals]
    return (
        spoilt(originals)
        | mutated(st.sampled_from(texts), PIECES)
        | JSON.map(json.dumps).map(str.encode)
    )


def record(transactions: list[Transaction | EnhancedTransaction]) -> None:
    """As a pass would; the book is stored and opened again, the postings add up,
    and trades and movements are what they should be."""
    wallet, _, _ = told()
    book = Book(wallet, "fifo", 1)
    read = book.interpret(transactions, NOW)
    prices = dict.fromkeys(prices_for(read), PRICE_MAX)
    entries = book.record(read, prices, {}, float(NOW))
    assert Book.restored(wallet, "fifo", 1, book.checkpoint()) is not None
    encoding.encode(book.ledger.summary())
    encoding.encode(book.ledger.positions(dict.fromkeys(book.ledger.held(), PRICE_MAX)))
    for each in read:
        check_sums(each)
    for entry in entries:
        check = check_movement if entry.kind == "movement" else check_trade
        check(json.loads(entry.payload))


def check_sums(read: InterpretedTransaction) -> None:
    """The postings add up to what the wallet's accounts gained, if that can be told."""
    if read.balances is not None and read.is_readable:
        gained: Counter[str] = Counter()
        for balance in read.balances:
            gained[balance.mint] += balance.change
        posted = balance_changes(read.interpretation.postings)
        assert {mint: raw for mint, raw in posted.items() if raw} == {
            mint: raw for mint, raw in gained.items() if raw
        }


def check_movement(movement: dict[str, Any]) -> None:
    assert base58.is_size(movement["signature"], 64)
    assert 0 <= movement["slot"] < 2**53
    assert 0 <= movement["timestamp"] <= 2**33
    for posting in movement["postings"]:
        assert base58.is_size(posting["mint"], 32)
        assert 0 <= posting["decimals"] <= 255
        assert float("-inf") < posting["amount"] < float("inf")
        assert posting["amount_raw"] == str(int(posting["amount_raw"]))


def check_trade(trade: dict[str, Any]) -> None:
    assert base58.is_size(trade["signature"], 64)
    assert 0 <= trade["slot"] < 2**53
    assert 0 <= trade["timestamp"] <= 2**33
    for token in (trade["token_in"], trade["token_out"]):
        assert base58.is_size(token["mint"], 32)
        assert 0 <= token["decimals"] <= 255
    numbers = [each for each in trade.values() if isinstance(each, float | int)]
    assert all(float("-inf") < each < float("inf") for each in numbers)


@examples(150, drawn=True)
@given(st.data())
def test_a_transaction_is_refused_or_makes_a_trade_as_the_contract_has_it(
    data: st.DataObject,
) -> None:
    body = data.draw(changed(told()[1]))
    with in_time(len(body)):
        for transaction in readable([msgspec.Raw(body)], msgspec.json.Decoder(Transaction)):
            transaction.parties()
            record([transaction])


@examples(150, drawn=True)
@given(st.data())
def test_an_enhanced_object_is_refused_or_makes_a_trade_as_the_contract_has_it(
    data: st.DataObject,
) -> None:
    body = data.draw(changed(told()[2]))
    with in_time(len(body)):
        for transaction in readable([msgspec.Raw(body)], msgspec.json.Decoder(EnhancedTransaction)):
            transaction.parties()
            record([transaction])


def notifications() -> list[Any]:
    result = told()[1][0] | {"signature": told()[1][0]["transaction"]["signatures"][0]}
    inner = {"transaction": result.pop("transaction"), "meta": result.pop("meta")}
    value = {"signature": result["signature"], "err": None}
    logs = {"context": {"slot": 1}, "value": value}
    return [
        {"params": {"subscription": 1, "result": result | {"transaction": inner}}},
        {"params": {"subscription": 1, "result": logs}},
    ]


@examples(100, drawn=True)
@given(st.data())
def test_a_notification_is_refused_or_read(data: st.DataObject) -> None:
    body = data.draw(changed(notifications()))
    raw = [msgspec.Raw(body)]
    with in_time(len(body)):
        for whole in readable(raw, msgspec.json.Decoder(TransactionNotification)):
            record([whole.transaction])
        for heard in readable(raw, msgspec.json.Decoder(LogsNotification)):
            assert base58.is_size(heard.params.result.value.signature, 64)


def listings() -> list[Any]:
    rows = [
        {"signature": each["transaction"]["signatures"][0], "slot": each["slot"], "blockTime": 5}
        for each in told()[1]
    ]
    return [{"jsonrpc": "2.0", "id": 1, "result": {"data": rows, "paginationToken": "1:2"}}]


@examples(100, drawn=True)
@given(st.data())
def test_a_page_of_a_listing_is_an_upstream_error_or_gives_the_rows_that_are_some(
    data: st.DataObject,
) -> None:
    body = data.draw(changed(listings()))
    with in_time(len(body)), suppress(UpstreamError):
        page = answer(body, pages.SignaturePage)
        for entry in readable(page.data, _listed_signature):
            assert base58.is_size(entry.signature, 64)
            assert 0 <= entry.slot < 2**53


def answer(body: bytes, result_type: Any, status: int = 200) -> Any:
    decoder = msgspec.json.Decoder(rpc._Answer[result_type])
    return rpc._result(rpc._decode(rpc._Reply(status, {}, body), decoder, "method"), "method")


@examples(150)
@given(
    changed(
        [
            {"jsonrpc": "2.0", "id": 1, "error": {"code": -32429, "message": "slow down"}},
            [{"id": 1, "result": 1}, {"id": 2, "error": {"code": 1, "message": "no"}}],
            {"id": 1, "result": {"deep": [1, 2, 3]}},
        ]
    ),
    st.sampled_from((200, 400, 401, 429, 500, 0, 999)),
)
@example(b'{"id":1,"error":{"code":' + b"9" * 4000 + b"}}", 200)
@example(b'[{"id":[],"result":1},{"id":{},"result":1}]', 200)
def test_an_answer_is_a_result_or_one_of_the_four_upstream_errors(body: bytes, status: int) -> None:
    reply = rpc._Reply(status, {}, body)
    decoder = msgspec.json.Decoder(list[rpc._Answer[msgspec.Raw]] | rpc._Answer[msgspec.Raw])
    with in_time(len(body)):
        with suppress(UpstreamError):
            answer(body, msgspec.Raw, status)
        with suppress(UpstreamError):
            answers = rpc._by_number(rpc._decode_batch(reply, decoder, "method"))
            assert all(type(number) is int for number in answers)


@examples(100)
@given(
    changed(
        [
            {"coins": {f"solana:{SOL}": {"prices": [{"timestamp": 60, "price": 1.5}] * 3}}},
            {"success": True, "data": {"items": [{"unixTime": 60, "value": 2.5}] * 3}},
            {"success": True, "data": {"value": 2.5, "updateUnixTime": 60}},
        ]
    )
)
@example(b'{"coins":{"solana:%b":{"prices":[{"timestamp":60,"price":1e9999999}]}}}' % SOL.encode())
def test_prices_that_are_taken_are_positive_and_no_larger_than_there_are(body: bytes) -> None:
    question = Question("", [(SOL, 1)])
    for source in (DefiLlama(), Birdeye("key")):
        with in_time(len(body)), suppress(*UNREADABLE):
            for _, price in source.answers(question, body).prices:
                assert not _is_sane(price) or 0 < price <= PRICE_MAX


@examples(100)
@given(
    changed([{"id": SOL, "content": {"metadata": {"symbol": "A", "name": "B"}}, "token_info": {}}])
)
def test_a_symbol_that_is_shown_is_short_and_can_be_printed(body: bytes) -> None:
    with in_time(len(body)):
        asset = assets.Assets(rpc=None)._read(msgspec.Raw(body))  # type: ignore[arg-type]
        if asset is not None and asset[1] is not None:
            assert len(asset[1]) <= assets.MAX_SYMBOL
            assert asset[1].isprintable()
