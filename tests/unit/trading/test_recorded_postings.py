"""Real transactions and small histories, each with the trades and the postings that it has.

What is a trade and in which amounts is in `expected.json` beside the recordings. Which postings
other transactions have is in recorded_postings.txt, a line for each view of a wallet.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from test_recordings import (
    RECORDINGS,
    Json,
    _recordings,
    addresses,
    decoded,
    in_json_parsed,
    raw_items,
    recorded,
    rows,
)

from wd_server.chain.payloads import EnhancedTransaction
from wd_server.trading.effects import effects_of
from wd_server.trading.enhanced import effects_of_enhanced
from wd_server.trading.interpretation import Interpretation, interpret
from wd_server.trading.postings import PostingKind, balance_changes
from wd_server.trading.programs import SOL
from wd_server.trading.trade import RawTrade

TABLE = Path(__file__).with_name("recorded_postings.txt")

pytestmark = pytest.mark.usefixtures(_recordings.__name__)

# What nothing in the recording explains: rent that the chain collected from an account in 2021.
UNEXPLAINED = {("nftservice__txns_TtKwzJPq", "EFXY2Zhh", "unseen", -2_439)}


class View(NamedTuple):
    """A transaction as a wallet sees it. `expected`: its trade, None if there is none."""

    name: str
    wallet: str
    item: Json
    expected: Json | None

    def interpretation(self) -> Interpretation:
        return interpret(effects_of(decoded(self.item), self.wallet))


def views() -> Iterator[View]:
    for row in json.loads((RECORDINGS / "raw_more" / "expected.json").read_bytes()):
        path = RECORDINGS / "raw_more" / f"{row['file']}.json"
        item = json.loads(path.read_bytes())["transaction"]
        yield View(row["file"], row["wallet"], item, row["trade"])


def histories() -> dict[str, Json]:
    return json.loads((RECORDINGS / "histories" / "expected.json").read_bytes())


def history(name: str, wallet: str) -> list[Interpretation]:
    content = json.loads((RECORDINGS / "histories" / f"{name}.json").read_bytes())
    return [interpret(effects_of(decoded(item), wallet)) for item in content["transactions"]]


def as_expected(trade: RawTrade) -> dict[str, Any]:
    return {
        "action": trade.action,
        "sold": [trade.sold.mint, trade.sold.raw],
        "bought": [trade.bought.mint, trade.bought.raw],
        "fee": trade.fee_lamports,
        "dex": trade.dex,
    }


def posted(found: Interpretation) -> list[str]:
    """Kinds, with the place if there is one, without what the chain took."""
    kinds = [
        f"{posting.kind}@{posting.place}" if posting.place else posting.kind
        for posting in found.postings
        if posting.kind not in ("network_fee", "priority_fee")
    ]
    return [str(found.reason), *sorted(kinds)]


def tabulated() -> dict[tuple[str, str], list[str]]:
    found = {}
    for line in TABLE.read_text().splitlines():
        if line and not line.startswith("#"):
            name, wallet, *expected = line.split()
            found[name, wallet] = expected
    return found


def as_enhanced(item: Json) -> Json:
    """A transaction in `json` encoding as an enhanced object that nobody shortened."""
    keys, meta = addresses(item), item["meta"]
    message = item["transaction"]["message"]
    changes: dict[tuple[int, str, str], Json] = {}
    for sign, side in ((-1, "preTokenBalances"), (1, "postTokenBalances")):
        for balance in meta[side]:
            key = balance["accountIndex"], balance["mint"], balance["owner"]
            amount = balance["uiTokenAmount"]
            change = changes.setdefault(key, {"raw": 0, "decimals": amount["decimals"]})
            change["raw"] += sign * int(amount["amount"])

    def instruction(one: Json) -> Json:
        accounts = [keys[at] for at in one["accounts"]]
        program = keys[one["programIdIndex"]]
        return {"programId": program, "accounts": accounts, "data": one["data"]}

    inner = {
        group["index"]: [instruction(each) for each in group["instructions"]]
        for group in meta["innerInstructions"] or ()
    }
    return {
        "signature": item["transaction"]["signatures"][0],
        "slot": item["slot"],
        "fee": meta["fee"],
        "feePayer": keys[0],
        "transactionError": meta["err"],
        "accountData": [
            {
                "account": key,
                "nativeBalanceChange": meta["postBalances"][at] - meta["preBalances"][at],
                "tokenBalanceChanges": [
                    {
                        "userAccount": owner,
                        "tokenAccount": key,
                        "mint": mint,
                        "rawTokenAmount": {
                            "tokenAmount": str(change["raw"]),
                            "decimals": change["decimals"],
                        },
                    }
                    for (index, mint, owner), change in changes.items()
                    if index == at and change["raw"]
                ],
            }
            for at, key in enumerate(keys)
        ],
        "instructions": [
            instruction(one) | {"innerInstructions": inner.get(at, [])}
            for at, one in enumerate(message["instructions"])
        ],
    }


def opened_for_somebody(kinds: list[str]) -> set[str]:
    return {"rent_paid" if kind == "rent_locked" else kind for kind in kinds}


def plain(item: Json) -> bool:
    """In `json` encoding, and with the owners that an enhanced object has."""
    owners = [one.get("owner") for one in item["meta"]["preTokenBalances"] or ()]
    owners += [one.get("owner") for one in item["meta"]["postTokenBalances"] or ()]
    return '"programId"' not in json.dumps(item) and all(owners)


def untraded() -> Iterator[tuple[str, str, Interpretation]]:
    """All transactions without a trade, with the name and the wallet."""
    for view in views():
        if view.expected is None:
            yield view.name, view.wallet[:8], view.interpretation()
    wallets = {(row.file, row.signature, row.wallet) for row in rows() if row.outcome[0] == "none"}
    for one in recorded():
        for party in one.parties:
            if (one.file, one.signature[:8], party[:8]) in wallets:
                yield one.signature[:8], party[:8], interpret(one.effects(party))


def test_every_trade_among_the_recordings_is_found_to_the_unit() -> None:
    differences = [
        (view.name, view.expected, found)
        for view in views()
        for found in [[as_expected(trade) for trade in view.interpretation().trades]]
        if found != ([] if view.expected is None else [view.expected])
    ]
    assert differences == []


def test_every_other_recording_has_the_postings_that_the_table_says() -> None:
    expected = tabulated()
    found = {(name, wallet): posted(one) for name, wallet, one in untraded()}
    assert {key: found.get(key) for key in expected} == expected
    assert found.keys() == expected.keys()


@pytest.mark.parametrize("name", [*histories()] if RECORDINGS.is_dir() else [])
def test_every_history_has_its_trades(name: str) -> None:
    expected = histories()[name]
    found = [
        {"signature": trade.signature, **as_expected(trade), "confidence": trade.confidence}
        for one in history(name, expected["wallet"])
        for trade in one.trades
    ]
    assert found == expected["trades"]


HISTORY_POSTINGS: dict[str, list[list[PostingKind]]] = {
    "rug_sold_for_dust": [["sold", "bought"], ["rent_returned", "sold", "bought"]],
    "rug_sold_for_a_little_more": [["sold", "bought"], ["rent_returned", "sold", "bought"]],
    "tip_of_0.3_SOL_beside_8_SOL": [["rent_locked", "platform_fee", "tip", "sold", "bought"]],
    "leftover_of_1.3_percent": [["rent_locked", "leftover", "sold", "bought"]],
    "small_purchase_on_an_unlisted_venue": [["sold", "bought"]],
    "round_trip_in_one_transaction": [["platform_fee", "tip", "sold"]],
    "failed_transactions_cost_too": [["sold", "bought"], []],
    "small_sale_beside_an_incentive": [
        ["sold", "bought"],
        ["rent_returned", "reward", "sold", "bought"],
    ],
    "purchase_with_incentive_claimed": [
        ["reward", "sold", "bought"],
        ["rent_returned", "sold", "bought"],
    ],
    "order_placed_cancelled_then_sold": [
        ["sold", "bought"],
        ["rent_locked", "custody_out"],
        ["rent_returned", "custody_in"],
        ["rent_returned", "sold", "bought"],
    ],
}


@pytest.mark.parametrize("name", HISTORY_POSTINGS)
def test_every_history_has_its_postings(name: str) -> None:
    found = [
        [posting.kind for posting in one.postings if "network" not in posting.kind]
        for one in history(name, histories()[name]["wallet"])
    ]
    without_priority = [[kind for kind in kinds if kind != "priority_fee"] for kinds in found]
    assert [sorted(kinds) for kinds in without_priority] == [
        sorted(kinds) for kinds in HISTORY_POSTINGS[name]
    ]


def test_what_nothing_explains_is_named_here() -> None:
    found = {
        (name, wallet, posting.place, posting.raw)
        for name, wallet, one in untraded()
        for posting in one.postings
        if posting.kind == "unexplained"
    }
    assert found == UNEXPLAINED


def test_nothing_is_unexplained_in_a_trade_or_in_a_history() -> None:
    traded = [view.interpretation() for view in views() if view.expected is not None]
    for name, expected in histories().items():
        traded += history(name, expected["wallet"])
    kinds = {posting.kind for one in traded for posting in one.postings}
    assert "bought" in kinds
    assert "unexplained" not in kinds


def test_postings_add_up_to_the_balances_of_everybody_in_both_encodings() -> None:
    for view in views():
        item = view.item
        items = [item] if "programId" in json.dumps(item) else [item, in_json_parsed(item)]
        keys = addresses(item)
        held = [*(item["meta"]["preTokenBalances"] or ()), *item["meta"]["postTokenBalances"]]
        owners = [balance["owner"] for balance in held if balance.get("owner")]
        for read in map(decoded, items):
            for party in {*keys, *owners}:
                effects = effects_of(read, party)
                moved = {mint: delta.raw for mint, delta in effects.tokens.items()}
                if effects.lamports:
                    moved[SOL] = effects.lamports
                assert balance_changes(interpret(effects).postings) == moved


def test_the_legs_of_a_trade_are_its_postings_and_its_fees_are_those_of_all() -> None:
    for view in views():
        found = view.interpretation()
        for trade in found.trades:
            legs = {one.kind: one for one in found.postings if one.part == trade.part}
            assert legs["sold"].raw == -trade.sold.raw
            assert legs["bought"].raw == trade.bought.raw
        for kind, fee in (("tip", "tip"), ("platform_fee", "platform_fee")):
            if found.trades:
                paid = -sum(one.raw for one in found.postings if one.kind == kind)
                assert sum(getattr(trade, fee) for trade in found.trades) == paid


def test_the_enhanced_form_of_a_transaction_has_the_same_trades_and_postings() -> None:
    """Nobody says there how many signatures there were, so that base and priority fee are one, nor
    whose an account is that was opened and stayed empty."""
    items = [(view.item, view.wallet) for view in views()]
    items += [(item, addresses(item)[0]) for name, item in raw_items() if "grpc" not in name]
    compared = 0
    for item, wallet in items:
        if not plain(item):
            continue
        read = msgspec.json.decode(json.dumps(as_enhanced(item)), type=EnhancedTransaction)
        enhanced = interpret(effects_of_enhanced(read, wallet))
        raw = interpret(effects_of(decoded(item), wallet))
        assert [as_expected(one) for one in enhanced.trades] == [
            as_expected(one) for one in raw.trades
        ]
        assert opened_for_somebody(posted(enhanced)) == opened_for_somebody(posted(raw))
        assert balance_changes(enhanced.postings) == balance_changes(raw.postings)
        compared += 1
    assert compared > 50
