"""Transactions that do several things at once, each with its right postings and trades."""

import struct

import pytest
from test_effects import FRIEND, POOL, RAYDIUM, RENT, WALLET, Chain, X, Y, read
from test_meaning import STAKE, meaning, moved, posting, transfer

from wd_server.trading.effects import effects_of
from wd_server.trading.interpretation import Interpretation, interpret
from wd_server.trading.ledger import Ledger
from wd_server.trading.postings import Posting
from wd_server.trading.programs import SOL, SYSTEM, TOKEN, USDC

AIRDROP = "Airdrop"


def burn(chain: Chain, account: str, raw: int) -> None:
    chain.call(TOKEN, [account, "Mint", WALLET], struct.pack("<BQ", 8, raw))


def sells_x(chain: Chain, raw: int, lamports: int, into: str = "Temp") -> None:
    """A pool takes X of the wallet and gives wrapped SOL into an account that is closed later."""
    chain.token("PoolX", X, POOL, 10**9, 10**9 + raw)
    chain.token("PoolSol", SOL, POOL, 10**12, 10**12 - lamports)
    chain.lamports("PoolSol", 10**12 + RENT, 10**12 + RENT - lamports)
    chain.call(RAYDIUM, [WALLET])
    transfer(chain, "MyX", "PoolX", WALLET, raw)
    transfer(chain, "PoolSol", into, POOL, lamports)


def test_a_rug_of_which_the_rest_is_sent_away_is_burned_in_part() -> None:
    chain = Chain()
    chain.token("MyX", X, WALLET, 1_000, None)
    chain.token("ItsX", X, FRIEND, 0, 300)
    chain.post[WALLET] += RENT
    burn(chain, "MyX", 700)
    chain.call(TOKEN, ["MyX", "ItsX", WALLET], struct.pack("<BQ", 3, 300))
    chain.call(TOKEN, ["MyX", WALLET, WALLET], b"\x09")
    found = meaning(chain)
    (trade,) = found.trades
    assert (trade.action, trade.sold.raw, trade.bought.raw) == ("burn", 700, 0)
    assert moved(found) == {("burned", X, -700), ("sent", X, -300), ("rent_returned", SOL, RENT)}
    assert posting(found, "sent").counterparty == FRIEND


def test_a_transfer_of_which_a_fee_is_withheld_burns_nothing() -> None:
    chain = Chain()
    chain.token("MyX", X, WALLET, 1_000, 0)
    chain.token("ItsX", X, FRIEND, 0, 100)
    chain.call(TOKEN, ["MyX", "ItsX", WALLET], struct.pack("<BQ", 3, 1_000))
    found = meaning(chain)
    assert (found.trades, moved(found)) == ((), {("sent", X, -1_000)})


def test_a_rug_is_burned_where_a_cleaner_keeps_some_of_the_deposit() -> None:
    chain = Chain()
    chain.token("MyX", X, WALLET, 1_000, None)
    chain.post[WALLET] += RENT - 61_280
    chain.lamports("Cleaner", 10**9, 10**9 + 61_280)
    burn(chain, "MyX", 1_000)
    chain.call(TOKEN, ["MyX", "Cleaner", WALLET], b"\x09")
    found = meaning(chain)
    (trade,) = found.trades
    assert (trade.action, trade.tip) == ("burn", 61_280)
    assert moved(found) == {
        ("burned", X, -1_000),
        ("rent_returned", SOL, RENT),
        ("tip", SOL, -61_280),
    }


def test_the_deposit_of_an_account_that_is_closed_to_somebody_else_was_given_away() -> None:
    chain = Chain()
    chain.token("MyX", X, WALLET, 0, None)
    chain.lamports(FRIEND, 10**9, 10**9 + RENT)
    chain.call(TOKEN, ["MyX", FRIEND, WALLET], b"\x09")
    assert moved(meaning(chain)) == {("rent_returned", SOL, RENT), ("sent", SOL, -RENT)}


def test_a_deposit_that_goes_back_to_who_pays_for_the_transaction_never_was_the_wallets() -> None:
    chain = Chain()
    chain.pre = {FRIEND: 10**9} | chain.pre
    chain.post = {FRIEND: 10**9 + RENT - 5_000} | chain.post
    chain.lamports(WALLET, 10**9, 10**9)
    chain.token("MyX", X, WALLET, 0, None)
    chain.call(TOKEN, ["MyX", FRIEND, WALLET], b"\x09")
    assert moved(meaning(chain)) == set()


def test_two_sales_to_pools_with_one_owner_are_told_apart_by_what_each_moved() -> None:
    chain = Chain()
    for mint, raw, dollars in ((X, 1_000, 200), (Y, 500, 900)):
        chain.token(f"My{mint}", mint, WALLET, raw, 0)
        chain.token(f"Pool{mint}", mint, POOL, 0, raw)
        chain.token(f"PoolUsdc{mint}", USDC, POOL, 10**9, 10**9 - dollars)
        chain.call(RAYDIUM, [WALLET])
        transfer(chain, f"My{mint}", f"Pool{mint}", WALLET, raw)
        transfer(chain, f"PoolUsdc{mint}", "MyUsdc", POOL, dollars)
    chain.token("MyUsdc", USDC, WALLET, 0, 1_100)
    found = meaning(chain)
    assert [(one.sold.mint, one.sold.raw, one.bought.raw) for one in found.trades] == [
        (X, 1_000, 200),
        (Y, 500, 900),
    ]
    assert {one.confidence for one in found.trades} == {"high"}


def test_two_purchases_from_pools_with_one_owner_are_told_apart_by_what_each_moved() -> None:
    chain = Chain()
    chain.token("MyUsdc", USDC, WALLET, 1_100, 0)
    for mint, raw, dollars in ((X, 1_000, 200), (Y, 500, 900)):
        chain.token(f"My{mint}", mint, WALLET, 0, raw)
        chain.token(f"Pool{mint}", mint, POOL, raw, 0)
        chain.token(f"PoolUsdc{mint}", USDC, POOL, 0, dollars)
        chain.call(RAYDIUM, [WALLET])
        transfer(chain, "MyUsdc", f"PoolUsdc{mint}", WALLET, dollars)
        transfer(chain, f"Pool{mint}", f"My{mint}", POOL, raw)
    found = meaning(chain)
    assert [(one.sold.raw, one.bought.mint, one.bought.raw) for one in found.trades] == [
        (200, X, 1_000),
        (900, Y, 500),
    ]


def test_an_airdrop_that_is_claimed_and_sold_at_once_is_a_reward_and_a_sale() -> None:
    for sold in (500, 400):
        chain = Chain()
        chain.token("DropX", X, AIRDROP, 10**6, 10**6 - 500)
        chain.token("MyX", X, WALLET, 0, 500 - sold)
        chain.call("Claims", [WALLET])
        transfer(chain, "DropX", "MyX", AIRDROP, 500)
        sells_x(chain, sold, 3 * 10**9)
        chain.call(TOKEN, ["Temp", WALLET, WALLET], b"\x09")
        chain.post[WALLET] += 3 * 10**9
        found = meaning(chain)
        (trade,) = found.trades
        assert (trade.action, trade.sold.raw, trade.bought.raw) == ("sell", sold, 3 * 10**9)
        assert moved(found) == {
            ("reward", X, 500),
            ("sold", X, -sold),
            ("bought", SOL, 3 * 10**9),
        }
        assert posting(found, "reward").counterparty == AIRDROP


def test_a_fee_out_of_proceeds_that_go_to_another_wallet_is_no_proceeds() -> None:
    chain = Chain()
    chain.token("MyX", X, WALLET, 500, 0)
    chain.post[WALLET] -= RENT
    chain.token("FeeSol", SOL, "Front end", 0, 10**7)
    chain.lamports("FeeSol", RENT, RENT + 10**7)
    chain.lamports(FRIEND, 10**9, 10**9 + RENT + 10**9 - 10**7)
    sells_x(chain, 500, 10**9)
    chain.call(TOKEN, ["Temp", "FeeSol", WALLET], struct.pack("<BQ", 3, 10**7))
    chain.call(TOKEN, ["Temp", FRIEND, WALLET], b"\x09")
    found = meaning(chain)
    assert [(one.action, one.bought.raw) for one in found.trades] == [("sell", 10**9)]
    assert moved(found) == {
        ("sold", X, -500),
        ("bought", SOL, 10**9),
        ("platform_fee", SOL, -(10**7)),
        ("sent", SOL, -(10**9 - 10**7 + RENT)),
    }


def test_a_purchase_of_which_some_is_sent_to_others_at_once_is_a_purchase_of_all() -> None:
    chain = Chain()
    chain.post[WALLET] -= 3 * 10**9
    chain.token("PoolX", X, POOL, 10**6, 10**6 - 3_000)
    chain.token("PoolSol", SOL, POOL, 10**12, 10**12 + 3 * 10**9)
    chain.lamports("PoolSol", 10**12 + RENT, 10**12 + RENT + 3 * 10**9)
    chain.token("MyX", X, WALLET, 0, 1_000)
    chain.token("ItsX", X, FRIEND, 0, 1_500)
    chain.token("OthersX", X, "Other", 0, 500)
    chain.call(RAYDIUM, [WALLET])
    transfer(chain, "Temp", "PoolSol", WALLET, 3 * 10**9)
    transfer(chain, "PoolX", "MyX", POOL, 3_000)
    for account, raw in (("ItsX", 1_500), ("OthersX", 500)):
        chain.call(TOKEN, ["MyX", account, WALLET], struct.pack("<BQ", 3, raw))
    found = meaning(chain)
    assert [(one.sold.raw, one.bought.raw) for one in found.trades] == [(3 * 10**9, 3_000)]
    assert {(one.counterparty, one.raw) for one in found.postings if one.kind == "sent"} == {
        (FRIEND, -1_500),
        ("Other", -500),
    }


def test_a_deposit_that_somebody_else_paid_for_an_account_of_the_moment_is_no_proceeds() -> None:
    chain = Chain()
    chain.pre = {"Relayer": 10**10} | chain.pre
    chain.post = {"Relayer": 10**10 - 5_000 - RENT} | chain.post
    chain.lamports(WALLET, 10**9, 2 * 10**9 + RENT)
    chain.token("MyX", X, WALLET, 500, 0)
    create = struct.pack("<IQQ", 0, RENT, 165) + b"\x06" * 32
    chain.call(SYSTEM, ["Relayer", "Temp"], create)
    chain.call(TOKEN, ["Temp", SOL, WALLET], b"\x01")
    sells_x(chain, 500, 10**9)
    chain.call(TOKEN, ["Temp", WALLET, WALLET], b"\x09")
    item = chain.json()
    for side in ("preBalances", "postBalances"):
        at = item["transaction"]["message"]["accountKeys"].index("Temp")
        item["meta"][side][at] = 0
    found = interpret(effects_of(read(item), WALLET))
    assert [(one.action, one.bought.raw) for one in found.trades] == [("sell", 10**9)]
    assert posting(found, "rent_returned").raw == RENT


def test_a_sale_for_dust_is_a_sale_where_the_block_does_not_say_who_has_the_pools_vaults() -> None:
    chain = Chain()
    chain.token("MyX", X, None, 500, 0)
    chain.post[WALLET] += 5
    sells_x(chain, 500, 5)
    chain.call(TOKEN, ["Temp", WALLET, WALLET], b"\x09")
    chain.tokens = [(name, mint, None, *amounts) for name, mint, _, *amounts in chain.tokens]
    (trade,) = meaning(chain).trades
    assert (trade.action, trade.sold.raw, trade.bought.raw) == ("sell", 500, 5)


def test_a_deposit_beside_a_round_trip_is_no_stake() -> None:
    """The transaction calls the Stake program, and an arbitrage in it is all that it does."""
    chain = Chain()
    chain.lamports("Account", 0, 2_000_000)
    chain.post[WALLET] -= 2_000_000
    create = struct.pack("<IQQ", 0, 2_000_000, 159) + b"\x06" * 32
    chain.call(SYSTEM, [WALLET, "Account"], create)
    chain.call(STAKE, [WALLET])
    chain.token("MyX", X, WALLET, 1_000, 900)
    chain.token("OneX", X, "One", 10**6, 10**6 + 1_000)
    chain.token("OneY", Y, "One", 10**6, 10**6 - 50)
    chain.token("TwoX", X, "Two", 10**6, 10**6 - 900)
    chain.token("TwoY", Y, "Two", 10**6, 10**6 + 50)
    transfer(chain, "MyX", "OneX", WALLET, 1_000)
    transfer(chain, "TwoX", "MyX", "Two", 900)
    found = meaning(chain)
    assert found.reason == "round_trip"
    assert moved(found) == {("rent_locked", SOL, -2_000_000), ("sold", X, -100)}


@pytest.mark.parametrize(("proceeds", "price"), [(2, 1), (1, 3)])
def test_a_sale_and_a_purchase_of_another_token_are_two_trades_if_sol_is_left_or_added(
    proceeds: int, price: int
) -> None:
    chain = Chain()
    chain.token("MyX", X, WALLET, 1_000, 0)
    chain.token("MyY", Y, WALLET, 0, 500)
    chain.token("BuyersX", X, "Buyer", 0, 1_000)
    chain.token("SellersY", Y, "Seller", 500, 0)
    for name, sol in (("Buyer", -proceeds), ("Seller", price)):
        lamports = 10**12 + sol * 10**9
        chain.token(f"{name}sSol", SOL, name, 10**12, lamports)
        chain.lamports(f"{name}sSol", 10**12 + RENT, lamports + RENT)
        chain.call(RAYDIUM, [WALLET])
    chain.post[WALLET] += (proceeds - price) * 10**9
    found = meaning(chain)
    assert [(one.sold.mint, one.sold.raw, one.bought.raw) for one in found.trades] == [
        (X, 1_000, proceeds * 10**9),
        (SOL, price * 10**9, 500),
    ]
    assert {one.kind for one in found.postings} == {"network_fee", "sold", "bought"}


def test_a_lock_gives_back_what_it_got_and_is_no_order() -> None:
    ledger = Ledger("fifo")
    locked = Posting("custody_out", X, -1_000, 6, place="streamflow")
    ledger.record(Interpretation((), "escrow", (locked,)), ())
    vested = (
        Posting("custody_in", Y, 1_000, 6, place="streamflow"),
        Posting("rent_returned", SOL, 5_004_240, 9),
    )
    claim = Interpretation((), "escrow", vested)
    assert ledger.resolved(claim, "signature", 1, 0) is claim


def test_a_small_purchase_where_each_vault_has_an_owner_of_its_own_is_a_purchase() -> None:
    chain = Chain()
    chain.token("MyX", X, WALLET, 0, 1_000)
    chain.token("VaultX", X, "One", 10**6, 10**6 - 1_000)
    chain.token("VaultSol", SOL, "Other", 10**12, 10**12 + 1_500_000)
    chain.lamports("VaultSol", 10**12 + RENT, 10**12 + RENT + 1_500_000)
    chain.post[WALLET] -= 1_500_000
    chain.call("Unknown", [WALLET])
    transfer(chain, "Temp", "VaultSol", WALLET, 1_500_000)
    transfer(chain, "VaultX", "MyX", "One", 1_000)
    found = meaning(chain)
    (trade,) = found.trades
    assert (trade.action, trade.sold.raw, trade.bought.raw) == ("buy", 1_500_000, 1_000)
    assert trade.confidence == "low"
