"""What is posted of a transaction that can't be read."""

from typing import Any

import msgspec
import pytest

from wd_server.chain.payloads import UnreadableTransaction, without_instructions
from wd_server.sync.interpreted import interpret_transaction
from wd_server.trading.interpretation import Interpretation
from wd_server.trading.postings import Posting, balance_changes
from wd_server.trading.programs import SOL, SOL_DECIMALS
from wd_server.trading.unreadable import interpret_unreadable

Json = dict[str, Any]

WALLET, ACCOUNT, STRANGER = "wallet", "account", "stranger"
SIGNATURE = "3".ljust(88, "1")
MINT = "X".rjust(32, "1")


def answer() -> Json:
    """The wallet pays a fee of 5,000 and 0.7 SOL for 500 tokens. Its instructions make no sense."""

    def held(amount: str) -> Json:
        amounts = {"amount": amount, "decimals": 6}
        return {"accountIndex": 1, "mint": MINT, "owner": WALLET, "uiTokenAmount": amounts}

    return {
        "slot": 7,
        "transaction": {
            "signatures": [SIGNATURE],
            "message": {"accountKeys": [WALLET, ACCOUNT], "instructions": "none"},
        },
        "meta": {
            "err": None,
            "fee": 5_000,
            "preBalances": [2_000_000_000, 2_039_280],
            "postBalances": [1_299_995_000, 2_039_280],
            "preTokenBalances": [held("0")],
            "postTokenBalances": [held("500")],
            "innerInstructions": 5,
        },
    }


def unreadable(item: Json) -> UnreadableTransaction:
    balances = without_instructions(msgspec.Raw(msgspec.json.encode(item)), SIGNATURE)
    return UnreadableTransaction(SIGNATURE, 7, "odd", 3, balances)


def test_where_balances_can_be_read_their_changes_are_unexplained() -> None:
    found = interpret_unreadable(unreadable(answer()), WALLET)
    assert (found.trades, found.reason) == ((), "unreadable")
    assert found.postings == (
        Posting("network_fee", SOL, -5_000, 9),
        Posting("unexplained", SOL, -700_000_000, 9, place="unreadable"),
        Posting("unexplained", MINT, 500, 6, place="unreadable"),
    )
    assert balance_changes(found.postings) == {SOL: -700_005_000, MINT: 500}


def test_who_paid_no_fee_and_moved_nothing_has_no_posting() -> None:
    assert interpret_unreadable(unreadable(answer()), STRANGER).postings == ()


def test_where_balances_cannot_be_read_an_unknown_amount_is_unexplained() -> None:
    item = answer()
    item["meta"]["preBalances"] = None
    posting = Posting("unexplained", SOL, 0, SOL_DECIMALS, place="unreadable")
    expected = Interpretation((), "unreadable", (posting,))
    assert interpret_unreadable(unreadable(item), WALLET) == expected


def test_a_failed_transaction_is_failed_whatever_it_tried() -> None:
    item = answer()
    item["meta"] |= {"err": {"InstructionError": [0, "Custom"]}, "postTokenBalances": []}
    item["meta"] |= {"preTokenBalances": [], "postBalances": [1_999_995_000, 2_039_280]}
    found = interpret_unreadable(unreadable(item), WALLET)
    assert found.reason == "failed"
    assert balance_changes(found.postings) == {SOL: -5_000}


@pytest.mark.parametrize("fee", [5_000, "five"])
def test_it_stands_where_it_was_listed(fee: object) -> None:
    item = answer()
    item["meta"]["fee"] = fee
    found = interpret_transaction(unreadable(item), WALLET, 42)
    assert (found.slot, found.signature, found.index) == (7, SIGNATURE, 3)
    assert not found.is_readable
    assert not found.failed
