import pytest

from wd_server.load.continuity import Breach, Continuity
from wd_server.load.frames import Item


def trade(seq: int, run: bytes = b"7") -> Item:
    return Item("trade", run, seq, 1, 1)


def batch(seq: int, trades: int) -> Item:
    return Item("trades", b"7", seq, trades, trades)


def complete(seq: int) -> Item:
    return Item("complete", b"7", seq, 1, 0)


def breaches(position: Continuity, *items: Item) -> list[tuple[str, int]]:
    found = [breach for item in items for breach in position.take(item)]
    return [(breach.kind, breach.entries) for breach in found]


@pytest.mark.parametrize("follow", [True, False])
def test_ids_that_ascend_by_one_from_one_are_whole(follow: bool) -> None:
    position = Continuity(follow=follow)
    assert not breaches(position, trade(1), trade(2), batch(5, 3), complete(6))
    assert position.last_event_id == "7-6"
    assert not position.complete(5)
    assert position.holes == 0


def test_a_follower_that_is_not_shown_an_entry_has_lost_it() -> None:
    position = Continuity(follow=True)
    assert breaches(position, trade(1), trade(4), trade(5)) == [("lost", 2)]


def test_the_first_event_of_a_follower_is_the_first_entry() -> None:
    assert breaches(Continuity(follow=True), trade(3)) == [("lost", 2)]


def test_a_breach_names_the_position_before_and_the_id_that_came() -> None:
    position = Continuity(follow=True)
    position.take(trade(1))
    assert position.take(trade(3)) == [Breach("lost", 1, "7-1", "7-3")]


def test_an_event_that_comes_again_is_a_duplicate_and_moves_nothing() -> None:
    position = Continuity(follow=True)
    assert breaches(position, trade(1), trade(2), trade(1), trade(2)) == [("duplicate", 1)] * 2
    assert not breaches(position, trade(3))


def test_a_batch_that_repeats_a_part_of_what_was_there_is_that_many_duplicates() -> None:
    position = Continuity(follow=True)
    assert breaches(position, batch(4, 4), batch(6, 4)) == [("duplicate", 2)]
    assert position.trades == 6


def test_the_holes_of_overtaken_completes_are_none_when_all_trades_were_there() -> None:
    position = Continuity(follow=False)
    assert not breaches(position, trade(1), trade(2), trade(4), batch(8, 3), complete(9))
    assert position.holes == 2
    assert not position.complete(6)
    assert position.holes == 0


def test_trades_that_the_complete_counts_and_the_stream_never_had_are_lost() -> None:
    position = Continuity(follow=False)
    assert not breaches(position, trade(1), trade(3), complete(4))
    assert position.complete(3) == [Breach("lost", 1, "", "7-4")]


def test_duplicates_do_not_make_up_for_what_is_missing_at_the_complete() -> None:
    position = Continuity(follow=False)
    assert breaches(position, trade(1), trade(1), trade(3), complete(4)) == [("duplicate", 1)]
    assert [breach.entries for breach in position.complete(3)] == [1]


def test_a_retracted_trade_is_not_counted_as_found() -> None:
    position = Continuity(follow=False)
    assert not breaches(position, trade(1), trade(2), Item("retract", b"7", 3, 1, -1), complete(4))
    assert not position.complete(1)


def test_after_a_gap_the_whole_history_comes_anew() -> None:
    position = Continuity(follow=True)
    assert not breaches(position, trade(1), trade(2))
    position.gap()
    assert position.last_event_id == ""
    assert not breaches(position, trade(1, b"8"), trade(2, b"8"))


def test_another_run_without_a_gap_is_a_breach() -> None:
    position = Continuity(follow=True)
    assert breaches(position, trade(1), trade(1, b"8")) == [("reset", 1)]


def test_an_id_that_cannot_be_read_is_a_breach() -> None:
    assert breaches(Continuity(follow=True), Item("trade", b"", -1)) == [("malformed_id", 1)]


def test_a_server_without_history_begins_anywhere_and_goes_on_from_there() -> None:
    position = Continuity(follow=True, history=False)
    assert not breaches(position, trade(57), trade(58))
    assert breaches(position, trade(60)) == [("lost", 1)]
