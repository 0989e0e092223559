from decimal import Decimal
from typing import Any

import pytest
from wd_client.events import Complete, made

from wd_tools.watch.totals import totals

OLD = {"trades": 9, "buys": 4, "sells": 3, "swaps": 1, "unmatched_sol": 0}
NEW = {
    "network_fees_sol": Decimal("0.01"),
    "tips_sol": Decimal("0.2"),
    "platform_fees_sol": 0,
    "failed_fees_sol": Decimal("0.003"),
    "round_trip_pnl_sol": Decimal("-1.5"),
    "rent_locked_sol": 0,
    "unexplained_sol": 2,
    "unmatched_sol": 3,
    "known_cost_share": Decimal("0.75"),
    "priced_share": Decimal("0.999"),
}


def shown(summary: dict[str, Any]) -> dict[str, str]:
    complete = made("complete", {"summary": summary})
    assert isinstance(complete, Complete)
    return {name: text for name, text, _ in totals(complete.summary)}


def test_burns_are_trades_and_none_of_the_other_kinds() -> None:
    assert shown(OLD)["trades"] == "9 (4 buys, 3 sells, 1 swaps, 1 burns)"
    assert shown({**OLD, "trades": 8})["trades"] == "8 (4 buys, 3 sells, 1 swaps)"


def test_an_older_server_has_no_lines_for_what_it_does_not_send() -> None:
    assert list(shown(OLD)) == ["trades", "realized P&L", "after fees", "won", "open positions"]


def test_each_fee_and_what_is_not_known_have_lines() -> None:
    lines = shown({**OLD, **NEW})
    assert lines["fees"] == "network 0.0100, tips 0.200, platform 0.00, failed 0.00300 SOL"
    assert lines["no known cost"] == "3.00 SOL sold without known cost (25% of what was got)"
    assert lines["priced"] == "99% of the trades have a value in $"
    assert (lines["round trips"], lines["unexplained"]) == ("-1.50 SOL", "+2.00 SOL")
    assert "rent locked" not in lines


def test_a_share_that_cannot_be_ends_nothing() -> None:
    for share in (Decimal("-1e300"), Decimal("1e300")):
        shares = {"priced_share": share, "known_cost_share": share}
        assert "priced" not in shown({**OLD, **NEW, **shares})


@pytest.mark.parametrize("value", [None, Decimal("NaN"), Decimal("1e999999")])
def test_what_is_no_amount_is_left_out(value: Any) -> None:
    assert shown({**OLD, **dict.fromkeys(NEW.keys() - OLD.keys(), value)}) == shown(OLD)
