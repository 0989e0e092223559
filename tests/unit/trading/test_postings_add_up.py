"""Whatever a transaction's balances and instructions say, its postings add up to its balances."""

import struct

from hypothesis import given
from hypothesis import strategies as st
from test_effects import WALLET, Chain, X, Y, read

from wd_server.trading.effects import effects_of
from wd_server.trading.interpretation import interpret
from wd_server.trading.postings import FEE_KINDS, balance_changes
from wd_server.trading.programs import PROGRAM_ADDRESSES, SOL, SYSTEM, TOKEN

PROGRAMS = [
    next(iter(addresses)) for kind in PROGRAM_ADDRESSES.values() for addresses in kind.values()
]
OWNERS = [WALLET, "Pool", "Vault", "Friend", "Order"]
ACCOUNTS = [f"{owner}{mint[-1]}" for owner in OWNERS for mint in (X, Y, SOL)]
NAMES = st.sampled_from([*OWNERS, *ACCOUNTS, "Temp", "Fees"])
AMOUNTS = st.one_of(st.integers(0, 3), st.integers(0, 10**12), st.sampled_from([2_039_280, 10**9]))


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    chain = Chain()
    for name in draw(st.lists(st.sampled_from([*OWNERS[1:], "Temp", "Fees"]), unique=True)):
        chain.lamports(name, draw(AMOUNTS), draw(AMOUNTS))
    chain.post[WALLET] = draw(AMOUNTS)
    for owner in OWNERS:
        for mint in (X, Y, SOL):
            if draw(st.booleans()):
                amounts = [draw(st.one_of(st.none(), AMOUNTS)) for _ in range(2)]
                name = f"{owner}{mint[-1]}"
                chain.lamports(name, draw(AMOUNTS), draw(AMOUNTS))
                chain.token(name, mint, draw(st.sampled_from([owner, None, WALLET])), *amounts)
    for _ in range(draw(st.integers(0, 8))):
        program, data = draw(calls())
        names = draw(st.lists(NAMES, min_size=4, max_size=4))
        chain.call(program, names, data, inner=draw(st.booleans()))
    chain.err = draw(st.sampled_from([None, None, None, {"InstructionError": [0, "Custom"]}]))
    return chain


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, bytes]:
    raw = draw(AMOUNTS)
    return draw(
        st.sampled_from(
            [
                (draw(st.sampled_from(PROGRAMS)), b"\1"),
                ("Unknown", b"\1"),
                (SYSTEM, struct.pack("<IQ", 2, raw)),
                (SYSTEM, struct.pack("<IQQ", 0, raw, 165) + b"\6" * 32),
                (SYSTEM, struct.pack("<IQ", 8, raw)),
                *[(TOKEN, struct.pack("<BQ", tag, raw)) for tag in (3, 7, 8, 12)],
                *[(TOKEN, bytes([tag])) for tag in (9, 17, 38)],
                (TOKEN, bytes([255, 3, 9]) + struct.pack("<BQ", 3, raw)),
            ]
        )
    )


@given(chains(), st.sampled_from(OWNERS))
def test_postings_add_up_to_what_the_balances_say(chain: Chain, wallet: str) -> None:
    item = chain.json()
    effects = effects_of(read(item), wallet)
    found = interpret(effects)
    moved = {mint: delta.raw for mint, delta in effects.tokens.items()}
    if effects.lamports:
        moved[SOL] = effects.lamports
    assert balance_changes(found.postings) == moved
    assert all(one.raw for one in found.postings if one.kind != "bought")
    assert (found.reason is None) == bool(found.trades)


@given(chains(), st.sampled_from(OWNERS))
def test_every_trade_has_positive_legs_and_part_0_has_the_fees(chain: Chain, wallet: str) -> None:
    found = interpret(effects_of(read(chain.json()), wallet))
    for number, trade in enumerate(found.trades):
        assert (trade.part, trade.parts) == (number, len(found.trades))
        assert trade.sold.raw > 0
        assert trade.bought.raw > 0 or trade.action == "burn"
        assert trade.fee_lamports >= 0
        assert number == 0 or trade.fee_lamports == 0
    if found.trades:
        fees = [one.raw for one in found.postings if one.kind in FEE_KINDS]
        assert found.trades[0].fee_lamports == -sum(fees)
