from typing import Any

from wd_client import TradeList
from wd_client.events import Event, made


def trade(signature: str, **fields: Any) -> Event:
    return made("trade", {"signature": signature, **fields})


def retract(signature: str) -> Event:
    return made("retract", {"signature": signature})


def kept(*events: Event, most: int | None = None) -> list[tuple[str, int | None, int | None]]:
    """Signature, part and slot of the trades that these events leave."""
    trades = TradeList(most)
    for event in events:
        trades.take(event)
    assert len(trades) == len(list(trades))
    return [(each.signature, each.part, each.slot) for each in trades]


BOTH = (trade("a", part=0, parts=2, slot=1), trade("a", part=1, parts=2, slot=1))
NEXT = trade("b", part=0, parts=1, slot=2)


def test_two_trades_of_a_transaction_are_two() -> None:
    assert kept(*BOTH, NEXT) == [("a", 0, 1), ("a", 1, 1), ("b", 0, 2)]


def test_a_retract_takes_back_all_trades_of_its_transaction() -> None:
    assert kept(*BOTH, NEXT, retract("a"), retract("unknown")) == [("b", 0, 2)]


def test_a_corrected_trade_stands_in_the_place_of_its_first_version() -> None:
    corrected = [trade("a", part=part, parts=2, slot=5, replaces="7-1") for part in (0, 1)]
    assert kept(*BOTH, NEXT, retract("a"), *corrected) == [("a", 0, 5), ("a", 1, 5), ("b", 0, 2)]
    again = (retract("a"), trade("a", part=0, parts=1, slot=9, replaces="7-1"))
    assert kept(*BOTH, NEXT, retract("a"), *corrected, *again) == [("a", 0, 9), ("b", 0, 2)]


def test_a_part_that_the_first_version_had_not_stands_beside_the_others() -> None:
    first, *rest = trade("a", part=0, parts=1, slot=1), NEXT, retract("a")
    corrected = (trade("a", part=0, slot=1, replaces="7-1"), trade("a", part=1, slot=1))
    assert kept(first, *rest, *corrected) == [("a", 0, 1), ("a", 1, 1), ("b", 0, 2)]


def test_a_trade_that_lands_again_after_a_fork_is_the_newest() -> None:
    landed = [trade("a", part=part, parts=2, slot=3) for part in (0, 1)]
    assert kept(*BOTH, NEXT, retract("a"), *landed) == [("b", 0, 2), ("a", 0, 3), ("a", 1, 3)]


def test_a_trade_of_an_older_server_has_no_part_and_is_the_only_one() -> None:
    old = made("trades", {"trades": [{"signature": "a", "slot": 1}, {"signature": "b", "slot": 2}]})
    assert kept(old, retract("a")) == [("b", None, 2)]
    assert kept(old, trade("a", slot=1)) == [("a", None, 1), ("b", None, 2)]


def test_a_gap_discards_everything_and_a_preview_adds_nothing() -> None:
    preview = made("preview", {"trades": [{"signature": "p", "part": 0}]})
    assert kept(*BOTH, preview) == [("a", 0, 1), ("a", 1, 1)]
    assert kept(*BOTH, made("gap", {"reason": "reset"}), NEXT) == [("b", 0, 2)]


def test_a_list_with_a_bound_keeps_the_newest_transactions_whole() -> None:
    assert kept(NEXT, *BOTH, most=1) == [("a", 0, 1), ("a", 1, 1)]
    assert kept(*BOTH, NEXT, retract("a"), most=1) == [("b", 0, 2)]
