"""A sale whose front end takes its fee in wrapped SOL, by a Batch of the Token program."""

from typing import Any

import msgspec
import pytest

from wd_server import base58
from wd_server.chain.payloads import EnhancedTransaction, Transaction
from wd_server.trading.effects import effects_of
from wd_server.trading.enhanced import effects_of_enhanced
from wd_server.trading.interpretation import Interpretation, interpret
from wd_server.trading.postings import balance_changes
from wd_server.trading.programs import SOL, TOKEN

Json = dict[str, Any]

SIGNATURE = "3".ljust(88, "1")
MINT = "X".rjust(32, "1")
RAYDIUM = "675kPX9MHTjS2zt1qfr1NYHuzeLXfQM9H24wFSUt1Mp8"
# Phantom's, from the list of those who take fees.
FRONT_END = "9yj3zvLS3fDMqi1F8zhkaWfq8TZpZWHe6cz1Sgt7djXf"
WALLET, TEMPORARY, FEE_SOL, POOL_SOL, POOL_X, MY_X = "Seller", "T", "FeeSol", "PoolSol", "PX", "MX"
KEYS = [WALLET, TEMPORARY, FEE_SOL, POOL_SOL, POOL_X, MY_X, RAYDIUM, TOKEN]
NETWORK_FEE, FEE, PRICE = 5_000, 10_000_000, 1_000_000_000
# Lamports that each account has more after it.
CHANGES = [PRICE - FEE - NETWORK_FEE, 0, FEE, -PRICE, 0, 0, 0, 0]
# Token accounts: owner, mint, and raw amounts before and after.
TOKENS = {
    FEE_SOL: (FRONT_END, SOL, 0, FEE),
    POOL_SOL: ("Pool", SOL, 5 * PRICE, 4 * PRICE),
    POOL_X: ("Pool", MINT, 0, 500),
    MY_X: (WALLET, MINT, 500, 0),
}


def transfer(lamports: int) -> bytes:
    return b"\x03" + lamports.to_bytes(8, "little")


def batch() -> tuple[list[str], bytes]:
    """The fee goes to the front end, and the temporary account is closed to the wallet."""
    paid, closed = transfer(FEE), b"\x09"
    data = b"\xff" + bytes((3, len(paid))) + paid + bytes((3, len(closed))) + closed
    return [TEMPORARY, FEE_SOL, WALLET, TEMPORARY, WALLET, WALLET], data


CALLS = [(RAYDIUM, KEYS[:6], b"\x09"), (TOKEN, *batch())]


def from_json() -> Interpretation:
    def balances(side: int) -> list[Json]:
        return [
            {
                "accountIndex": KEYS.index(name),
                "mint": mint,
                "owner": owner,
                "uiTokenAmount": {
                    "amount": str(amounts[side]),
                    "decimals": 9 if mint == SOL else 6,
                },
            }
            for name, (owner, mint, *amounts) in TOKENS.items()
        ]

    before = [10 * PRICE] * len(KEYS)
    item = {
        "slot": 7,
        "transaction": {
            "signatures": [SIGNATURE],
            "message": {
                "accountKeys": KEYS,
                "instructions": [
                    {
                        "programIdIndex": KEYS.index(program),
                        "accounts": [KEYS.index(name) for name in names],
                        "data": base58.encode(data),
                    }
                    for program, names, data in CALLS
                ],
            },
        },
        "meta": {
            "err": None,
            "fee": NETWORK_FEE,
            "preBalances": before,
            "postBalances": [a + b for a, b in zip(before, CHANGES, strict=True)],
            "preTokenBalances": balances(0),
            "postTokenBalances": balances(1),
        },
    }
    read = msgspec.json.decode(msgspec.json.encode(item), type=Transaction)
    return interpret(effects_of(read, WALLET))


def from_enhanced() -> Interpretation:
    def changes(name: str) -> list[Json]:
        if name not in TOKENS:
            return []
        owner, mint, before, after = TOKENS[name]
        amount = {"tokenAmount": str(after - before), "decimals": 9 if mint == SOL else 6}
        change = {"userAccount": owner, "tokenAccount": name, "mint": mint}
        return [change | {"rawTokenAmount": amount}]

    item = {
        "signature": SIGNATURE,
        "slot": 7,
        "fee": NETWORK_FEE,
        "feePayer": WALLET,
        "accountData": [
            {
                "account": name,
                "nativeBalanceChange": change,
                "tokenBalanceChanges": changes(name),
            }
            for name, change in zip(KEYS, CHANGES, strict=True)
        ],
        "instructions": [
            {"programId": program, "accounts": names, "data": base58.encode(data)}
            for program, names, data in CALLS
        ],
    }
    read = msgspec.json.decode(msgspec.json.encode(item), type=EnhancedTransaction)
    return interpret(effects_of_enhanced(read, WALLET))


@pytest.mark.parametrize("read", [from_json, from_enhanced])
def test_a_fee_in_a_batch_is_no_part_of_the_price(read: Any) -> None:
    found: Interpretation = read()
    (trade,) = found.trades
    assert (trade.sold.mint, trade.sold.raw) == (MINT, 500)
    assert (trade.bought.mint, trade.bought.raw) == (SOL, PRICE)
    assert (trade.platform_fee, trade.network_fee) == (FEE, NETWORK_FEE)
    assert balance_changes(found.postings) == {SOL: CHANGES[0], MINT: -500}
