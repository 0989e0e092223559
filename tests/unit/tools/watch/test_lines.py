from decimal import Decimal
from typing import Any

import pytest
from samples import token, trade

from wd_tools.watch.lines import lines

SOLD = token("BONK", "100")


def line(**changes: Any) -> str:
    changes = {"token_in": SOLD, "value_sol": Decimal(3), "pnl_sol": None, **changes}
    (text,) = lines(trade(**changes))
    return text.partition("  ")[2]


@pytest.mark.parametrize("pnl", [None, Decimal(0)])
def test_proceeds_without_a_known_cost_are_neither_a_profit_nor_a_zero(pnl: Decimal | None) -> None:
    told = line(pnl_sol=pnl, unmatched_amount=Decimal(100))
    assert told == "sell  100.00 BONK -> 0.250 SOL  3.00 SOL without known cost"


def test_what_is_partly_without_a_known_cost_says_how_much_of_it() -> None:
    told = line(pnl_sol=Decimal(1), unmatched_amount=Decimal(40))
    assert told.endswith("  +1.00 SOL, 40.00 BONK without known cost")


def test_a_trade_without_a_value_has_no_profit_at_all() -> None:
    assert line(action="swap").endswith("-> 0.250 SOL")
    assert line(value_sol=None, unmatched_amount=Decimal(100)).endswith("SOL  without known cost")


def test_a_burn_says_what_was_burned_and_what_it_cost() -> None:
    burn = {"action": "burn", "token_out": token("SOL", "0"), "value_sol": Decimal(0)}
    assert line(**burn, pnl_sol=Decimal(-2)) == "burn  100.00 BONK -> burned  -2.00 SOL"
    unknown = line(**burn, unmatched_amount=Decimal(100))
    assert unknown == "burn  100.00 BONK -> burned  without known cost"


def test_a_corrected_trade_is_said_to_be_one() -> None:
    assert line(pnl_sol=Decimal(1), replaces="7-1").endswith("  +1.00 SOL  corrected")
