"""What a Solana RPC says of accounts, read answer by answer."""

import asyncio
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from wd_server.chain.accounts import (
    SLICE,
    TOKEN_PROGRAMS,
    TOUCHING_MAX,
    Accounts,
    AccountsAnswer,
    HeldTokens,
)
from wd_server.chain.faults import MethodUnavailable, rate_limited
from wd_server.chain.transactions import MODE_SECONDS, Transactions
from wd_server.chain.turns import Turn
from wd_server.errors import UpstreamRateLimit
from wd_tools.simulator.base58 import encode


def address(number: int) -> str:
    return encode(bytes([number]) * 32)


WALLET, MINT, TOKENS = address(1), address(2), address(3)


class ScriptedCalls:
    """Answers the calls of an RpcClient in their order; an error in the script is raised."""

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.calls: list[tuple[str, Any]] = []
        self.now = 1000.0

    async def call(self, method: str, params: Any, shape: Any, *, turn: Turn | None = None) -> Any:
        self.calls.append((method, params))
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return msgspec.json.decode(msgspec.json.encode(answer), type=shape)

    async def batch(self, method: str, params: Any, shape: Any, *, turn: Turn | None = None) -> Any:
        return [await self.call(method, each, shape, turn=turn) for each in params]


def accounts_of(rpc: Any) -> Accounts:
    transactions = Transactions(rpc, clock=lambda: 0.0, random=lambda: 0.5, sleep=asyncio.sleep)
    return Accounts(rpc, transactions, clock=lambda: rpc.now)


def in_context(slot: int, value: Any) -> Any:
    return {"context": {"slot": slot, "apiVersion": "3.0"}, "value": value}


def token_account(account: str, raw: str, decimals: int = 6, mint: str = MINT) -> Any:
    amount = {"amount": raw, "decimals": decimals, "uiAmount": None, "uiAmountString": raw}
    info = {"mint": mint, "owner": WALLET, "state": "initialized", "tokenAmount": amount}
    data = {"program": "spl-token", "parsed": {"type": "account", "info": info}, "space": 165}
    return {"pubkey": account, "account": {"data": data, "lamports": 2039280}}


def transaction(signature: str, slot: int) -> Any:
    meta = {"err": None, "fee": 5000, "preBalances": [1], "postBalances": [2]}
    message = {"accountKeys": [TOKENS], "instructions": []}
    signed = {"signatures": [signature], "message": message}
    return {"slot": slot, "transaction": signed, "meta": meta}


@pytest.fixture
def rpc() -> ScriptedCalls:
    return ScriptedCalls()


def test_each_answer_is_as_of_its_own_slot_and_both_token_programs_are_asked(
    rpc: ScriptedCalls,
) -> None:
    rpc.script = [
        in_context(100, 12345),
        in_context(101, [token_account(TOKENS, "7")]),
        in_context(102, [token_account(address(4), "18446744073709551615", 0)]),
    ]
    assert asyncio.run(accounts_of(rpc).held(WALLET)) == [
        AccountsAnswer(100, 12345),
        AccountsAnswer(101, None, (HeldTokens(TOKENS, MINT, 6, 7),)),
        AccountsAnswer(102, None, (HeldTokens(address(4), MINT, 0, 2**64 - 1),)),
    ]
    parsed = {"commitment": "confirmed", "encoding": "jsonParsed"}
    assert rpc.calls == [
        ("getBalance", [WALLET, {"commitment": "confirmed"}]),
        *(
            ("getTokenAccountsByOwner", [WALLET, {"programId": program}, parsed])
            for program in TOKEN_PROGRAMS
        ),
    ]


def test_an_account_that_cannot_be_read_is_left_out_and_logged(rpc: ScriptedCalls) -> None:
    good = [token_account(TOKENS, str(number)) for number in range(SLICE + 5)]
    odd = [
        token_account(TOKENS, "a lot"),
        token_account(TOKENS, "-1"),
        token_account(TOKENS, "1", mint="nobody's"),
        {"pubkey": TOKENS, "account": {"data": ["AAAA", "base64"]}},
    ]
    rpc.script = [in_context(1, 0), in_context(1, good + odd), in_context(1, [])]
    with capture_logs() as logs:
        answers = asyncio.run(accounts_of(rpc).held(WALLET))
    assert [each.raw for each in answers[1].tokens] == list(range(SLICE + 5))
    assert [log["count"] for log in logs] == [len(odd)]


def test_an_upstream_without_the_methods_is_left_alone_for_a_while(
    rpc: ScriptedCalls,
) -> None:
    accounts = accounts_of(rpc)
    rpc.script = [MethodUnavailable("no"), MethodUnavailable("no")]
    for _ in range(2):
        with pytest.raises(MethodUnavailable):
            asyncio.run(accounts.held(WALLET))
    assert len(rpc.calls) == 1
    rpc.now += MODE_SECONDS
    with pytest.raises(MethodUnavailable):
        asyncio.run(accounts.held(WALLET))
    assert len(rpc.calls) == 2


def test_an_upstream_that_is_busy_is_asked_again_the_next_time(rpc: ScriptedCalls) -> None:
    accounts = accounts_of(rpc)
    rpc.script = [rate_limited(), in_context(1, 5), in_context(1, []), in_context(1, [])]
    with pytest.raises(UpstreamRateLimit):
        asyncio.run(accounts.held(WALLET))
    assert (asyncio.run(accounts.held(WALLET)))[0].lamports == 5


def test_what_touched_an_account_comes_oldest_first_from_beyond_a_slot(
    rpc: ScriptedCalls,
) -> None:
    slots = {encode(bytes([slot]) * 64): slot for slot in (30, 20, 10)}
    third, second, _ = slots
    listed = [{"signature": each, "slot": slot} for each, slot in slots.items()]
    rpc.script = [listed, transaction(second, 20), transaction(third, 30)]
    before = encode(bytes([40]) * 64)
    found = asyncio.run(accounts_of(rpc).touching(TOKENS, before, 10))
    assert [(each.signature, each.slot) for each in found] == [(second, 20), (third, 30)]
    options = {"limit": TOUCHING_MAX, "commitment": "confirmed", "before": before}
    assert rpc.calls[0] == ("getSignaturesForAddress", [TOKENS, options])
    assert [params[0] for _, params in rpc.calls[1:]] == [second, third]
