"""What the accounts of a wallet hold from one transaction to the next, and where it doesn't fit."""

from typing import Any

import msgspec
import pytest

from wd_server.chain.payloads import EnhancedTransaction, Transaction
from wd_server.trading.continuity import (
    STEP,
    BalanceStep,
    KnownBalances,
    OwnBalance,
    own_balances,
)
from wd_server.trading.postings import Posting, PostingKind
from wd_server.trading.programs import SOL, TOKEN
from wd_tools.simulator.base58 import encode


def address(number: int) -> str:
    return encode(bytes([number]) * 32)


WALLET, OTHER, MINT, TOKENS, WRAPPED = (address(number) for number in range(1, 6))
SIGNATURE = encode(bytes([7]) * 64)


def held(index: int, mint: str, raw: int, owner: str = WALLET, decimals: int = 6) -> Any:
    amount = {"amount": str(raw), "decimals": decimals}
    return {"accountIndex": index, "mint": mint, "owner": owner, "uiTokenAmount": amount}


def transaction(
    keys: list[str],
    pre: list[int],
    post: list[int],
    before: list[Any],
    after: list[Any],
    instructions: list[Any] | None = None,
) -> Transaction:
    meta = {
        "err": None,
        "fee": 5000,
        "preBalances": pre,
        "postBalances": post,
        "preTokenBalances": before,
        "postTokenBalances": after,
        "loadedAddresses": {"writable": keys[2:], "readonly": []},
    }
    message = {"accountKeys": keys[:2], "instructions": instructions or []}
    signed = {"signatures": [SIGNATURE], "message": message}
    return msgspec.convert({"slot": 9, "transaction": signed, "meta": meta}, Transaction)


def sol(change: int, before: int | None) -> OwnBalance:
    return OwnBalance(WALLET, SOL, 9, change, before)


def tokens(change: int, before: int | None, account: str = TOKENS) -> OwnBalance:
    return OwnBalance(account, MINT, 6, change, before)


def posted(mint: str, raw: int, kind: PostingKind = "received", place: str = "") -> Posting:
    return Posting(kind, mint, raw, 9 if mint == SOL else 6, place=place)


def take(known: KnownBalances, slot: int, balances: Any, *postings: Posting) -> None:
    known.take(WALLET, balances, slot, postings)


@pytest.fixture
def known() -> KnownBalances:
    """A wallet that was given 100 lamports in slot 1 and 7 tokens in slot 2."""
    balances = KnownBalances()
    take(balances, 1, [sol(100, 0)], posted(SOL, 100))
    take(balances, 2, [tokens(7, 0)], posted(MINT, 7))
    return balances


def test_a_raw_transaction_tells_what_each_own_account_held_before_and_gained() -> None:
    keys = [OTHER, WALLET, TOKENS, WRAPPED]
    each = transaction(
        keys,
        [50, 1000, 20, 0],
        [40, 900, 0, 120],
        [held(2, MINT, 7), held(0, MINT, 99, OTHER)],
        [held(3, SOL, 100, decimals=9), held(0, MINT, 106, OTHER)],
    )
    assert own_balances(each, WALLET) == (
        OwnBalance(WALLET, SOL, 9, -100, 1000),
        OwnBalance(TOKENS, MINT, 6, -7, 7),
        OwnBalance(WRAPPED, SOL, 9, 100, 0),
    )


def test_in_blocks_that_tell_no_owner_it_is_who_signed() -> None:
    """As in all blocks before November 2021."""
    keys = [WALLET, OTHER, TOKENS, WRAPPED, TOKEN]
    left, came = ({**held(2, MINT, 7), "owner": None}, {**held(2, MINT, 4), "owner": None})
    others = {**held(3, MINT, 3), "owner": None}
    data = encode(b"\x03" + (3).to_bytes(8, "little"))
    send = {"programIdIndex": 4, "accounts": [2, 3, 0], "data": data}
    each = transaction(keys, [9] * 5, [9] * 5, [left], [came, others], [send])
    assert own_balances(each, WALLET) == (sol(0, 9), tokens(-3, 7))


def test_an_account_that_changes_its_owner_leaves_one_wallet_and_comes_to_the_other() -> None:
    each = transaction(
        [address(9), TOKENS], [1, 1], [1, 1], [held(1, MINT, 7, OTHER)], [held(1, MINT, 7)]
    )
    assert own_balances(each, WALLET) == (tokens(7, 0),)
    assert own_balances(each, OTHER) == (tokens(-7, 7),)


def test_an_enhanced_object_tells_changes_only_and_without_account_data_nothing() -> None:
    change = {"tokenAmount": "-7", "decimals": 6}
    of_tokens = {
        "tokenAccount": TOKENS,
        "mint": MINT,
        "rawTokenAmount": change,
        "userAccount": WALLET,
    }
    data = [
        {"account": WALLET, "nativeBalanceChange": -5000},
        {"account": TOKENS, "nativeBalanceChange": 0, "tokenBalanceChanges": [of_tokens]},
    ]
    whole = msgspec.convert({"signature": SIGNATURE, "accountData": data}, EnhancedTransaction)
    assert own_balances(whole, WALLET) == (sol(-5000, None), tokens(-7, None))
    cut = msgspec.convert({"signature": SIGNATURE}, EnhancedTransaction)
    assert own_balances(cut, WALLET) is None


def test_a_transaction_that_begins_with_what_was_left_has_no_step(known: KnownBalances) -> None:
    balances = [sol(-40, 100), tokens(-7, 7)]
    assert known.steps(WALLET, balances, 3) == []
    take(known, 3, balances, posted(SOL, -40), posted(MINT, -7))
    assert known.unexplained == {}
    assert known.lamports == 60
    assert list(known.accounts) == [WALLET]


def test_a_step_says_what_was_left_what_was_found_and_since_when(known: KnownBalances) -> None:
    balances = [sol(-40, 90), tokens(1, 12)]
    steps = known.steps(WALLET, balances, 5)
    assert steps == [
        BalanceStep(WALLET, SOL, 9, 100, 90, 1),
        BalanceStep(TOKENS, MINT, 6, 7, 12, 2),
    ]
    assert [step.posting for step in steps] == [
        Posting("unexplained", SOL, -10, 9, place=STEP),
        Posting("unexplained", MINT, 5, 6, place=STEP),
    ]
    postings = [step.posting for step in steps]
    take(known, 5, balances, *postings, posted(SOL, -40), posted(MINT, 1))
    assert known.unexplained == {SOL: -10, MINT: 5}
    assert known.amount(TOKENS) == 13


def test_an_account_that_nobody_saw_is_empty_and_what_it_holds_is_a_step(
    known: KnownBalances,
) -> None:
    other = address(9)
    assert known.steps(WALLET, [tokens(-3, 3, other)], 5) == [BalanceStep(other, MINT, 6, 0, 3, 0)]


def test_where_the_history_is_cut_what_an_account_holds_at_first_is_its_opening() -> None:
    known = KnownBalances()
    first = [sol(-5, 1000), OwnBalance(WRAPPED, SOL, 9, -20, 50), tokens(-1, 8)]
    assert known.steps(WALLET, first, 4) == []
    take(known, 4, first, posted(SOL, -25), posted(MINT, -1))
    assert not known.whole
    assert known.unexplained == {}
    assert known.opening_lamports == 1050
    assert known.lamports == 1025
    assert known.amount(address(9)) is None


def test_what_a_transaction_moves_without_a_posting_is_unexplained(known: KnownBalances) -> None:
    take(known, 3, [sol(-40, 100)], posted(SOL, -30))
    assert known.unexplained == {SOL: -10}


def test_changes_alone_keep_the_books_and_what_tells_nothing_makes_them_unknown(
    known: KnownBalances,
) -> None:
    take(known, 3, [tokens(2, None)], posted(MINT, 2))
    assert known.amount(TOKENS) == 9
    take(known, 4, None, posted(MINT, -1))
    assert known.amount(TOKENS) is None
    assert known.amount(WALLET) == 100
    assert known.steps(WALLET, [tokens(1, 8)], 5) == []
    take(known, 5, [tokens(1, 8)], posted(MINT, 1))
    assert known.amount(TOKENS) == 9
    assert known.unexplained == {}


def test_a_transaction_that_turns_up_late_takes_back_the_step_that_it_explains(
    known: KnownBalances,
) -> None:
    take(known, 9, [tokens(1, 12)], posted(MINT, 1))
    assert known.unexplained == {MINT: 5}
    late = [tokens(5, 7)]
    assert known.steps(WALLET, late, 6) == []
    take(known, 6, late, posted(MINT, 5))
    assert known.unexplained == {}
    assert known.amount(TOKENS) == 13


def test_a_copy_is_no_longer_the_same(known: KnownBalances) -> None:
    copy = known.copy()
    take(copy, 3, [sol(-40, 90)], posted(SOL, -40))
    assert known == KnownBalances.copy(known) != copy
    assert known.unexplained == {}
