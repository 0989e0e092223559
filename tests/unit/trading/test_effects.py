import struct
import time
from collections import Counter
from typing import Any, NamedTuple, Self

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_wallet import encoded

from wd_server.chain.payloads import EnhancedTransaction, Transaction
from wd_server.trading.balances import TokenDelta
from wd_server.trading.effects import Effects, effects_of
from wd_server.trading.enhanced import effects_of_enhanced
from wd_server.trading.interpretation import interpret
from wd_server.trading.postings import balance_changes
from wd_server.trading.programs import SOL, SYSTEM, TOKEN

Json = dict[str, Any]

X, Y, Z = (letter.rjust(32, "1") for letter in "XYZ")
PUMP = "Xpump".rjust(33, "1")
SIGNATURE = "3".ljust(88, "1")
WALLET, POOL, TIP, FRIEND = "Wallet", "Pool", "Tip", "Friend"
JITO = "96gYZGLnJYVFmbjzopPSU6QiEV5fGqZNyN9nmNhvrZU5"
PHANTOM = "9yj3zvLS3fDMqi1F8zhkaWfq8TZpZWHe6cz1Sgt7djXf"
RAYDIUM = "675kPX9MHTjS2zt1qfr1NYHuzeLXfQM9H24wFSUt1Mp8"
RENT = 2_039_280
FEE = 5_000


class Parts(NamedTuple):
    """What postings say of a wallet's SOL, in lamports. `sol` is what was traded or moved."""

    network_fee: int
    fees: int
    rent: int
    sent: int
    sol: int
    effects: Effects

    @classmethod
    def of(cls, effects: Effects) -> Self:
        kinds: Counter[str] = Counter()
        for posting in interpret(effects).postings:
            if posting.mint == SOL:
                kinds[posting.kind] -= posting.raw
        network, fees = kinds["network_fee"] + kinds["priority_fee"], kinds["tip"]
        fees += kinds["platform_fee"]
        rent = kinds["rent_locked"] + kinds["rent_returned"] + kinds["rent_paid"]
        apart = network + fees + rent + kinds["sent"]
        return cls(network, fees, rent, kinds["sent"], effects.lamports + apart, effects)

    @property
    def tokens(self) -> dict[str, TokenDelta]:
        return self.effects.tokens

    @property
    def timestamp(self) -> int:
        return self.effects.timestamp

    @property
    def exact(self) -> bool:
        return self.effects.exact

    @property
    def failed(self) -> bool:
        return self.effects.failed

    @property
    def lamports(self) -> int:
        return self.effects.lamports


class Chain:
    """One transaction that is being made. Accounts are named, not addressed; what moves is moved
    between balances and written down as an instruction, both by hand."""

    def __init__(self) -> None:
        self.pre: dict[str, int] = {}
        self.post: dict[str, int] = {}
        self.tokens: list[tuple[str, str, str | None, str | None, str | None]] = []
        self.outer: list[tuple[str, list[str], bytes]] = []
        self.inner: list[tuple[str, list[str], bytes]] = []
        self.err: object = None
        self.lamports(WALLET, 10**14, 10**14 - FEE)

    def lamports(self, name: str, pre: int, post: int) -> None:
        self.pre[name], self.post[name] = pre, post

    def pay(self, target: str, lamports: int, *, inner: bool = False) -> None:
        """A System transfer of the wallet's."""
        self.post[WALLET] -= lamports
        before = self.pre.setdefault(target, 10**9)
        self.post[target] = self.post.get(target, before) + lamports
        self.call(SYSTEM, [WALLET, target], struct.pack("<IQ", 2, lamports), inner=inner)

    def token(
        self, name: str, mint: str, owner: str | None, pre: int | None, post: int | None
    ) -> None:
        self.pre.setdefault(name, 0 if pre is None else RENT)
        self.post.setdefault(name, 0 if post is None else RENT)
        amounts = [None if amount is None else str(amount) for amount in (pre, post)]
        self.tokens.append((name, mint, owner, *amounts))

    def call(
        self, program: str, names: list[str], data: bytes = b"\x09", *, inner: bool = False
    ) -> None:
        (self.inner if inner else self.outer).append((program, names, data))

    def json(self) -> Json:
        calls = self.outer + self.inner
        keys = [*dict.fromkeys([*self.pre, *(name for _, names, _ in calls for name in names)])]
        keys += [program for program in {call[0] for call in calls} if program not in keys]

        def instruction(program: str, names: list[str], data: bytes) -> Json:
            accounts = [keys.index(name) for name in names]
            return {
                "programIdIndex": keys.index(program),
                "accounts": accounts,
                "data": encoded(data),
            }

        def balances(side: int) -> list[Json]:
            return [
                {
                    "accountIndex": keys.index(one[0]),
                    "mint": one[1],
                    "uiTokenAmount": {"amount": one[side], "decimals": 9 if one[1] == SOL else 6},
                    **({} if one[2] is None else {"owner": one[2]}),
                }
                for one in self.tokens
                if one[side] is not None
            ]

        return {
            "slot": 3,
            "blockTime": 1_700_000_000,
            "transaction": {
                "signatures": [SIGNATURE],
                "message": {
                    "accountKeys": keys,
                    "instructions": [instruction(*call) for call in self.outer],
                },
            },
            "meta": {
                "err": self.err,
                "fee": FEE,
                "preBalances": [self.pre.get(key, 1) for key in keys],
                "postBalances": [self.post.get(key, 1) for key in keys],
                "preTokenBalances": balances(3),
                "postTokenBalances": balances(4),
                "innerInstructions": [
                    {"index": 0, "instructions": [instruction(*call) for call in self.inner]}
                ],
            },
        }

    def effects(self, wallet: str = WALLET) -> Effects:
        return effects_of(read(self.json()), wallet)

    def parts(self, wallet: str = WALLET) -> Parts:
        return Parts.of(self.effects(wallet))


def read(item: Json) -> Transaction:
    return msgspec.json.decode(msgspec.json.encode(item), type=Transaction)


def bought(lamports: int = 10**9) -> Chain:
    """A buy on Raydium: wrapped on the way in, the token account was there before."""
    chain = Chain()
    chain.post[WALLET] -= lamports
    chain.token("PoolSol", SOL, POOL, 10**12, 10**12 + lamports)
    chain.lamports("PoolSol", 10**12 + RENT, 10**12 + RENT + lamports)
    chain.token("PoolX", X, POOL, 10**9, 10**9 - 500)
    chain.token("MyX", X, WALLET, 0, 500)
    chain.call(RAYDIUM, [WALLET, "PoolSol", "PoolX", "MyX"])
    return chain


def test_a_plain_buy_is_the_pools_gain() -> None:
    effects = bought().parts()
    assert effects.sol == -(10**9)
    assert (effects.network_fee, effects.fees, effects.rent, effects.sent) == (FEE, 0, 0, 0)
    assert {mint: delta.raw for mint, delta in effects.tokens.items()} == {X: 500}


def test_wrapped_and_native_sol_are_one() -> None:
    chain = bought(0)
    chain.token("MySol", SOL, WALLET, 3 * 10**9, 2 * 10**9)
    chain.lamports("MySol", 3 * 10**9 + RENT, 2 * 10**9 + RENT)
    effects = chain.parts()
    assert (effects.sol, effects.rent, SOL in effects.tokens) == (-(10**9), 0, False)


def test_tips_and_fees_are_set_apart_whoever_takes_them() -> None:
    chain = bought()
    chain.pay(JITO, 10_000_000)
    chain.pay(TIP, 60_000_000)
    chain.pay(PHANTOM, 8_500_000, inner=True)
    effects = chain.parts()
    assert (effects.fees, effects.sol) == (78_500_000, -(10**9))


def test_what_a_program_pays_to_a_stranger_is_the_trades_price() -> None:
    chain = bought(0)
    chain.pay("Curve", 10**9, inner=True)
    effects = chain.parts()
    assert (effects.fees, effects.sol) == (0, -(10**9))


def test_a_large_payment_beside_a_trade_is_not_its_price_and_no_fee() -> None:
    chain = bought()
    chain.pay(FRIEND, 4 * 10**9)
    effects = chain.parts()
    assert (effects.fees, effects.sent, effects.sol) == (0, 4 * 10**9, -(10**9))


def test_a_bots_percent_of_a_large_trade_is_a_fee() -> None:
    chain = bought(9 * 10**9)
    chain.pay("Bot", 150_000_000)
    assert chain.parts().fees == 150_000_000


def test_rent_of_an_account_opened_is_apart() -> None:
    chain = bought()
    chain.tokens = [one for one in chain.tokens if one[0] != "MyX"]
    chain.pre.pop("MyX")
    chain.post.pop("MyX")
    chain.token("MyX", X, WALLET, None, 500)
    chain.post[WALLET] -= RENT
    create = struct.pack("<IQQ", 0, RENT, 165) + b"\x06" * 32
    chain.call(SYSTEM, [WALLET, "MyX"], create, inner=True)
    effects = chain.parts()
    assert (effects.rent, effects.sol) == (RENT, -(10**9))


def test_rent_that_somebody_else_paid_is_not_the_wallets() -> None:
    chain = bought()
    chain.token("MyY", Y, WALLET, None, 0)
    chain.lamports(FRIEND, 10**9, 10**9 - RENT)
    create = struct.pack("<IQQ", 0, RENT, 165) + b"\x06" * 32
    chain.call(SYSTEM, [FRIEND, "MyY"], create)
    effects = chain.parts()
    assert (effects.rent, effects.sol) == (0, -(10**9))


def test_rent_of_a_programs_account_is_apart() -> None:
    chain = bought()
    chain.lamports("Volume", 0, 1_844_400)
    chain.post[WALLET] -= 1_844_400
    create = struct.pack("<IQQ", 0, 1_844_400, 137) + b"\x06" * 32
    chain.call(SYSTEM, [WALLET, "Volume"], create, inner=True)
    assert (chain.parts().rent, chain.parts().sol) == (1_844_400, -(10**9))


def test_rent_of_an_account_opened_with_a_seed_is_apart() -> None:
    chain = bought()
    chain.lamports("Seeded", 0, 1_844_400)
    chain.post[WALLET] -= 1_844_400
    create = struct.pack(
        "<I32sQ5sQQ32s", 3, b"\x06" * 32, 5, b"seed!", 1_844_400, 137, b"\x07" * 32
    )
    chain.call(SYSTEM, [WALLET, "Seeded"], create)
    assert (chain.parts().rent, chain.parts().sol) == (1_844_400, -(10**9))


def test_rent_of_a_programs_account_that_comes_back_is_apart() -> None:
    for held, rent in ((RENT, -RENT), (10**9, 0)):
        chain = bought()
        chain.lamports("Order", held, 0)
        chain.post[WALLET] += held
        chain.call(TOKEN, ["Order", WALLET, POOL], b"\x09")
        assert chain.parts().rent == rent


def test_sol_sent_to_a_token_account_is_no_tip() -> None:
    chain = bought(0)
    chain.pay("PoolSol", 50_000_000)
    effects = chain.parts()
    assert (effects.fees, effects.sol) == (0, -50_000_000)


def test_endless_data_is_not_decoded() -> None:
    item = bought().json()
    call = {"programId": SYSTEM, "accounts": [0, 1], "data": "z" * 300_000}
    item["transaction"]["message"]["instructions"] += [call] * 20
    before = time.process_time()
    assert effects_of(read(item), WALLET).sol == -(10**9)
    # Decoding one of them takes seconds.
    assert time.process_time() - before < 2


def sold_all(refund_to: str) -> Chain:
    chain = Chain()
    chain.post[WALLET] += 10**9
    chain.token("MyX", X, WALLET, 500, None)
    chain.token("PoolX", X, POOL, 0, 500)
    chain.token("PoolSol", SOL, POOL, 10**12, 10**12 - 10**9)
    chain.post.setdefault(refund_to, 10**9)
    chain.pre.setdefault(refund_to, 10**9)
    chain.post[refund_to] += RENT
    chain.call(RAYDIUM, [WALLET])
    chain.call(TOKEN, ["MyX", refund_to, WALLET], b"\x09")
    return chain


def test_rent_that_comes_back_is_no_proceeds() -> None:
    effects = sold_all(WALLET).parts()
    assert (effects.rent, effects.sol) == (-RENT, 10**9)


def test_rent_that_went_to_somebody_else_was_paid_to_them() -> None:
    effects = sold_all(FRIEND).parts()
    assert (effects.rent, effects.fees, effects.sol) == (-RENT, RENT, 10**9)


def test_a_fee_in_wrapped_sol_is_apart_where_the_wallet_paid_it() -> None:
    for authority, fees in ((WALLET, 8_500_000), (POOL, 0)):
        chain = bought()
        chain.token("FeeSol", SOL, PHANTOM, 0, 8_500_000)
        chain.post[WALLET] -= 8_500_000
        data = struct.pack("<BQ", 3, 8_500_000)
        chain.call(TOKEN, ["Temp", "FeeSol", authority], data, inner=True)
        assert chain.parts().fees == fees


def test_a_hop_that_pays_from_the_middle_takes_nothing_from_the_wallet() -> None:
    chain = bought(0)
    chain.token("MyY", Y, WALLET, 700, 0)
    chain.token("PoolY", Y, POOL, 0, 700)
    chain.post[WALLET] += 8_500_000
    chain.pay(PHANTOM, 8_500_000, inner=True)
    effects = chain.parts()
    assert (effects.fees, effects.sol) == (0, 0)


def test_only_the_payer_paid_the_network_fee() -> None:
    chain = bought()
    chain.token("ItsX", X, FRIEND, 900, 0)
    assert chain.effects(FRIEND).network_fee == 0


def test_a_failed_transaction_moved_its_fee() -> None:
    chain = Chain()
    chain.err = {"InstructionError": [0, {"Custom": 1}]}
    effects = chain.parts()
    assert (effects.failed, effects.network_fee, effects.sol) == (True, FEE, 0)


def test_a_stranger_has_no_effects() -> None:
    effects = bought().parts("Nobody")
    assert (effects.lamports, effects.sol, effects.tokens) == (0, 0, {})


def test_a_missing_block_time_is_when_it_was_received() -> None:
    item = bought().json() | {"blockTime": None}
    assert effects_of(read(item), WALLET, 42).timestamp == 42
    assert effects_of(read(bought().json()), WALLET, 42).timestamp == 1_700_000_000


def test_accounts_from_lookup_tables_count_behind_the_others() -> None:
    item = bought().json()
    keys = item["transaction"]["message"]["accountKeys"]
    expected = effects_of(read(item), WALLET)
    item["meta"]["loadedAddresses"] = {"writable": keys[2:4], "readonly": keys[4:]}
    item["transaction"]["message"]["accountKeys"] = keys[:2]
    assert effects_of(read(item), WALLET) == expected


def test_a_balance_without_an_owner_is_nobodys() -> None:
    chain = bought()
    chain.token("Old", Y, None, 5, 0)
    assert Y not in chain.effects().tokens


@pytest.mark.parametrize("amount", [2, 2**63, 2**64 - 1])
@pytest.mark.parametrize("decimals", [0, 1, 255])
def test_every_amount_and_decimals_that_a_mint_may_have_makes_a_trade(
    amount: int, decimals: int
) -> None:
    item = bought().json()
    for name, amounts in (("preTokenBalances", (amount, 0)), ("postTokenBalances", (0, amount))):
        for balance, held in zip(item["meta"][name][1:], amounts, strict=True):
            balance["uiTokenAmount"] = {"amount": str(held), "decimals": decimals}
    trade = interpret(effects_of(read(item), WALLET)).trades[0]
    assert trade is not None
    assert (trade.bought.raw, trade.bought.decimals) == (amount, decimals)


@pytest.mark.parametrize("block_time", [0, None])
def test_a_block_may_be_of_no_time_or_of_none_that_is_known(block_time: int | None) -> None:
    item = bought().json() | {"blockTime": block_time}
    assert effects_of(read(item), WALLET, 9).timestamp == (9 if block_time is None else 0)


def test_null_arrays_are_empty_ones() -> None:
    item = bought().json()
    for name in ("preTokenBalances", "postTokenBalances", "innerInstructions", "loadedAddresses"):
        item["meta"][name] = None
    effects = Parts.of(effects_of(read(item), WALLET))
    assert (effects.sol, effects.tokens) == (-(10**9), {})


hostile = st.one_of(
    st.integers(-3, 300),
    st.sampled_from(["", WALLET, "z" * 300, "é"]),
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "programIdIndex": st.integers(-5, 40),
                "programId": st.sampled_from([SYSTEM, TOKEN, RAYDIUM, ""]),
                "accounts": st.lists(hostile, max_size=5),
                "data": st.sampled_from(["", "A", "3Bxs", "é", "0", "1" * 400, "3Bxs43ZMjSRQLs6o"]),
                "parsed": st.sampled_from(
                    [
                        *(None, "memo", [], {}, {"type": "transfer"}),
                        {"type": "transfer", "info": {"lamports": 2**80, "source": WALLET}},
                        {"type": "transferChecked", "info": {"tokenAmount": None}},
                    ]
                ),
            },
        ),
        max_size=6,
    ),
    st.integers(0, 2**63 - 1),
)
def test_hostile_instructions_and_numbers_break_nothing(
    instructions: list[Json], lamports: int
) -> None:
    item = bought().json()
    item["transaction"]["message"]["instructions"] = instructions
    item["meta"]["innerInstructions"] = [{"index": 9, "instructions": instructions}]
    item["meta"]["postBalances"][0] = lamports
    effects = Parts.of(effects_of(read(item), WALLET))
    apart = effects.network_fee + effects.fees + effects.rent + effects.sent
    assert effects.lamports == effects.sol - apart
    assert balance_changes(interpret(effects.effects).postings).get(SOL, 0) == effects.lamports


@given(
    st.integers(20_000, 10**13),
    st.lists(st.tuples(st.sampled_from([JITO, TIP, "Bot"]), st.integers(1, 10**8)), max_size=4),
    st.booleans(),
)
def test_a_buy_costs_what_the_pool_got_whatever_else_was_paid(
    lamports: int, tips: list[tuple[str, int]], opens: bool
) -> None:
    chain = bought(lamports)
    for account, tip in tips:
        chain.pay(account, tip)
    if opens:
        chain.token("MyZ", Z, WALLET, None, 0)
        chain.post[WALLET] -= RENT
    effects = chain.parts()
    assert effects.sol == -lamports
    assert effects.fees == sum(tip for _, tip in tips)
    assert effects.rent == RENT * opens
    trade = interpret(effects.effects).trades[0]
    assert (trade.sold.raw, trade.bought.raw) == (lamports, 500)


def enhanced(**fields: Any) -> EnhancedTransaction:
    raw = msgspec.json.encode({"signature": SIGNATURE, "slot": 1, **fields})
    return msgspec.json.decode(raw, type=EnhancedTransaction)


def account(name: str, lamports: int, *tokens: tuple[str, str, int]) -> Json:
    return {
        "account": name,
        "nativeBalanceChange": lamports,
        "tokenBalanceChanges": [
            {
                "userAccount": owner,
                "tokenAccount": name,
                "mint": mint,
                "rawTokenAmount": {"tokenAmount": str(raw), "decimals": 6},
            }
            for owner, mint, raw in tokens
        ],
    }


def test_an_enhanced_object_without_payer_and_fee_has_them_in_its_accounts() -> None:
    accounts = [
        account(WALLET, -(10**9) - FEE),
        account("MyX", 0, (WALLET, X, 500)),
        account("PoolX", 0, (POOL, X, -500)),
        account("Curve", 10**9),
    ]
    effects = Parts.of(effects_of_enhanced(enhanced(accountData=accounts), WALLET, 42))
    assert (effects.network_fee, effects.sol, effects.timestamp) == (FEE, -(10**9), 42)


def test_transfers_of_an_enhanced_object_tell_fees_and_rent_apart() -> None:
    accounts = [
        account(WALLET, -(10**9) - 1_844_400 - 10_000_000 - FEE),
        account("MyX", 0, (WALLET, X, 500)),
        account("PoolX", 0, (POOL, X, -500)),
        account("Volume", 1_844_400),
        account(JITO, 10_000_000),
    ]
    paid = [
        {"amount": 1_844_400, "fromUserAccount": WALLET, "toUserAccount": "Volume"},
        {"amount": 10_000_000, "fromUserAccount": WALLET, "toUserAccount": JITO},
    ]
    effects = Parts.of(
        effects_of_enhanced(
            enhanced(accountData=accounts, nativeTransfers=paid, fee=FEE, feePayer=WALLET), WALLET
        )
    )
    assert (effects.rent, effects.fees, effects.sol) == (1_844_400, 10_000_000, -(10**9))


def test_transfers_stand_in_for_missing_accounts_and_count_wrapped_sol_once() -> None:
    transfers = [
        {"mint": X, "tokenAmount": 12.345678, "fromUserAccount": WALLET, "toUserAccount": POOL},
        {"mint": SOL, "tokenAmount": 1.5, "fromUserAccount": POOL, "toUserAccount": WALLET},
    ]
    unwrapped = [{"amount": 1_500_000_000, "fromUserAccount": "Temp", "toUserAccount": WALLET}]
    effects = Parts.of(
        effects_of_enhanced(
            enhanced(tokenTransfers=transfers, nativeTransfers=unwrapped, timestamp=9), WALLET
        )
    )
    assert (effects.sol, effects.exact, effects.timestamp) == (1_500_000_000, False, 9)
    assert effects.tokens[X].raw == -12_345_678
    assert effects.tokens[X].decimals == 6


def test_native_transfers_are_the_sol_of_a_curve() -> None:
    transfers = [{"mint": PUMP, "tokenAmount": 5, "toUserAccount": WALLET}]
    paid = [{"amount": 10**9, "fromUserAccount": WALLET, "toUserAccount": "Curve"}]
    effects = Parts.of(
        effects_of_enhanced(
            enhanced(tokenTransfers=transfers, nativeTransfers=paid, feePayer=WALLET, fee=FEE),
            WALLET,
        )
    )
    assert (effects.sol, effects.tokens[PUMP].raw) == (-(10**9), 5_000_000)


@pytest.mark.parametrize(
    ("amount", "raw", "decimals"),
    [
        (0.1 + 0.2, 30000000000000004, 17),
        (1.5e-9, 15, 10),
        (1e-30, None, 0),
        (2.0**63, 9_223_372_036_854_776_000, 0),
    ],
)
def test_of_a_transfer_as_many_digits_count_as_a_float_has(
    amount: float, raw: int | None, decimals: int
) -> None:
    transfers = [{"mint": X, "tokenAmount": amount, "toUserAccount": WALLET}]
    tokens = effects_of_enhanced(enhanced(tokenTransfers=transfers), WALLET).tokens
    assert (tokens[X].raw, tokens[X].decimals) == (raw, decimals) if raw else not tokens


def test_null_lists_and_parties_of_an_enhanced_object_are_nobodys() -> None:
    transfers = [{"mint": X, "tokenAmount": 1, "fromUserAccount": None, "toUserAccount": ""}]
    effects = Parts.of(
        effects_of_enhanced(
            enhanced(tokenTransfers=transfers, nativeTransfers=None, accountData=None), WALLET
        )
    )
    assert (effects.sol, effects.tokens) == (0, {})


def test_a_failed_enhanced_transaction_is_failed() -> None:
    accounts = [account(WALLET, -FEE)]
    error = {"InstructionError": [2, {"Custom": 6001}]}
    effects = Parts.of(
        effects_of_enhanced(enhanced(accountData=accounts, transactionError=error), WALLET)
    )
    assert (effects.failed, effects.network_fee, effects.sol) == (True, FEE, 0)
