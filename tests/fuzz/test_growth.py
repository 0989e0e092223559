"""What a transaction meant is found in time that grows with its size, however many instructions an
upstream says that it has."""

from collections.abc import Callable
from time import process_time
from typing import Any

import msgspec
import pytest

from wd_server.chain.payloads import Transaction
from wd_server.sync.interpreted import interpret_transaction
from wd_server.trading.programs import SYSTEM, TOKEN

Json = dict[str, Any]

# Calls of a transaction, and the same times ten. In linear time it takes ten times as long, in
# quadratic time a hundred times.
CALLS = 2_000
TIMES, TIMES_ALLOWED = 10, 40

WALLET, MINT = "Wallet", "X".rjust(32, "1")
JUPITER = "JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4"
KAMINO = "KLend2g3cP87fffoy8q1mQqGKjrxjC8boSyAYavgmjD"
SOMEBODY = [f"Somebody{number}" for number in range(90)]
KEYS = [WALLET, "Mine", "Given", "Taken", *SOMEBODY, SYSTEM, TOKEN, JUPITER, KAMINO]
SOL_BEFORE, SOL_EACH = 10**15, 10**12
TRANSFER, TOKENS = "3Bxs4Bc3VYuGVB19", "3DdGGhkhJbjm"  # of 1,000,000 lamports, of 1 unit


def paid(calls: int, program: str, mints: int) -> Json:
    """In so many calls of a program the wallet pays somebody and somebody gives tokens. All are
    given `mints` tokens beside SOL."""
    program_at, system, token = (KEYS.index(each) for each in (program, SYSTEM, TOKEN))
    inner = [
        {
            "index": number,
            "instructions": [
                instruction(system, [0, 4 + number % len(SOMEBODY)], TRANSFER),
                instruction(token, [2, 3, 4], TOKENS),
            ],
        }
        for number in range(calls)
    ]
    got = [balance(4 + number, f"Somebody{number}", "7") for number in range(mints)]
    return {
        "slot": 7,
        "transaction": {
            "signatures": ["3".ljust(88, "1")],
            "message": {
                "accountKeys": KEYS,
                "instructions": [instruction(program_at, [0], "")] * calls,
            },
        },
        "meta": {
            "err": None,
            "fee": 5000,
            "preBalances": [SOL_BEFORE, *[1] * (len(KEYS) - 1)],
            "postBalances": [SOL_BEFORE // 2, *[SOL_EACH] * (len(KEYS) - 1)],
            "preTokenBalances": [],
            "postTokenBalances": [balance(1, WALLET, "9"), *got],
            "innerInstructions": inner,
        },
    }


def instruction(program: int, accounts: list[int], data: str) -> Json:
    return {"programIdIndex": program, "accounts": accounts, "data": data}


def balance(account: int, owner: str, amount: str) -> Json:
    held = {"amount": amount, "decimals": 6}
    return {"accountIndex": account, "mint": MINT, "owner": owner, "uiTokenAmount": held}


def seconds(item: Json) -> float:
    transaction = msgspec.convert(item, Transaction)
    before = process_time()
    interpreted = interpret_transaction(transaction, WALLET, 0)
    taken = process_time() - before
    assert interpreted.is_readable
    return taken


@pytest.mark.parametrize(
    "made",
    [
        lambda calls: paid(calls, JUPITER, 0),
        lambda calls: paid(calls, KAMINO, len(SOMEBODY)),
    ],
    ids=["prices", "pools"],
)
def test_ten_times_as_many_calls_take_about_ten_times_as_long(made: Callable[[int], Json]) -> None:
    few = max(seconds(made(CALLS)) for _ in range(3))
    assert seconds(made(CALLS * TIMES)) < few * TIMES_ALLOWED
