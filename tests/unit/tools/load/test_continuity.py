import pytest
from wd_client.chain import BEGINNING, link

from wd_tools.load.continuity import Breach, Continuity
from wd_tools.load.frames import Frames, Item, Link, parse_block, parse_frame


def trade(seq: int, epoch: bytes = b"7") -> Item:
    return Item("trade", epoch, seq, 1, 1)


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


def test_another_epoch_without_a_gap_is_a_breach() -> None:
    position = Continuity(follow=True)
    assert breaches(position, trade(1), trade(1, b"8")) == [("reset", 1)]


def test_an_id_that_cannot_be_read_is_a_breach() -> None:
    assert breaches(Continuity(follow=True), Item("trade", b"", -1)) == [("malformed_id", 1)]


def test_a_server_without_history_begins_anywhere_and_goes_on_from_there() -> None:
    position = Continuity(follow=True, history=False)
    assert not breaches(position, trade(57), trade(58))
    assert breaches(position, trade(60)) == [("lost", 1)]


# By number.


def entry(seq: int, number: int, name: str = "trade") -> Item:
    trades = 1 if name == "trade" else -1
    payload = b'{"number":%d}' % number
    return Item(name, b"7", seq, 1, trades, number=number, link=Link(b"7-%d" % seq, payload))


def ending(seq: int, entries: int) -> Item:
    return Item("complete", b"7", seq, 0, 0, number=entries)


def chained(*items: Item) -> str:
    digest = BEGINNING
    for item in items:
        assert item.link is not None
        digest = link(digest, item.link.event_id, item.link.payload)
    return digest.hex()


def test_a_stored_event_that_is_not_counted_moves_the_id_and_nothing_else() -> None:
    position = Continuity(follow=True)
    other = parse_frame(b'event: weather\ndata: {"sun":true}\nid: 7-3').item
    assert other is not None
    assert not breaches(position, entry(2, 1), other, entry(5, 2))
    assert (position.last_event_id, position.place) == ("7-5", "7-2")
    assert position.proves(2, chained(entry(2, 1), entry(5, 2)))
    assert breaches(position, other) == [("duplicate", 1)]


@pytest.mark.parametrize("follow", [True, False])
def test_a_step_in_the_ids_is_no_loss_where_the_numbers_are_dense(follow: bool) -> None:
    position = Continuity(follow=follow)
    items = [entry(2, 1), entry(5, 2), entry(7, 3, "retract")]
    assert not breaches(position, *items, ending(9, 3), entry(12, 4))
    assert (position.last_event_id, position.place) == ("7-12", "7-4")
    assert position.holes == 0
    assert not position.complete(1)


@pytest.mark.parametrize("follow", [True, False])
def test_a_step_in_the_numbers_is_a_loss_at_once(follow: bool) -> None:
    position = Continuity(follow=follow)
    assert breaches(position, entry(1, 1), entry(2, 4), entry(3, 5)) == [("lost", 2)]
    assert not position.complete(9)


def test_what_a_complete_counts_and_did_not_come_is_lost() -> None:
    assert breaches(Continuity(follow=False), entry(1, 1), ending(9, 3)) == [("lost", 2)]
    assert breaches(Continuity(follow=True), ending(9, 0)) == []


def test_an_entry_and_a_complete_that_come_again_are_duplicates() -> None:
    position = Continuity(follow=True)
    items = [entry(1, 1), entry(1, 1), ending(2, 1), ending(2, 1), entry(3, 2)]
    assert breaches(position, *items) == [("duplicate", 1)] * 2
    assert position.trades == 2


def test_older_entries_without_a_number_go_before_those_that_have_one() -> None:
    position = Continuity(follow=True)
    assert not breaches(position, trade(1), complete(2), trade(3), entry(4, 3), entry(6, 4))
    assert breaches(position, entry(7, 6)) == [("lost", 1)]


def test_a_server_without_history_begins_at_any_number() -> None:
    position = Continuity(follow=True, history=False)
    assert not breaches(position, entry(57, 40), entry(60, 41))
    assert breaches(position, entry(61, 43)) == [("lost", 1)]
    assert not breaches(Continuity(follow=True, history=False), ending(9, 40), entry(10, 41))


def test_what_came_is_proved_by_the_digest_wherever_it_was_interrupted() -> None:
    position, items = Continuity(follow=False), [entry(2, 1), entry(5, 2, "retract"), entry(6, 3)]
    assert not breaches(position, *items, ending(8, 3))
    assert position.proves(3, chained(*items)) is True
    assert position.proves(3, chained(*items[:2])) is False
    assert position.proves(4, chained(*items)) is False
    assert position.proves(None, None) is None


def test_trades_in_a_row_are_chained_like_those_that_are_looked_at() -> None:
    data = b"".join(
        b'event: trade\ndata: {"number":%d}\nid: 7-%d\n\n' % (number, 2 * number)
        for number in range(1, 6)
    )
    block = parse_block(data, Frames())
    row, single = Continuity(follow=True), Continuity(follow=True)
    assert not breaches(row, block.items[0])
    rest = parse_block(data[len(data) // 5 :], Frames())
    assert (rest.epoch, rest.before) == (row.epoch, row.count)
    row.advance(rest)
    assert not breaches(single, *block.items)
    assert row.digest == single.digest
    assert (row.last_event_id, row.place) == (single.last_event_id, single.place)


def test_batches_and_breaches_leave_nothing_to_prove_until_a_gap() -> None:
    for item in (Item("trades", b"7", 2, 2, 2, number=2), entry(2, 2), Item("x", b"", -1)):
        position = Continuity(follow=True)
        position.take(item)
        assert position.proves(2, "00") is None
        position.gap()
        position.take(entry(1, 1))
        assert position.proves(1, chained(entry(1, 1))) is True


def numbered(name: str, seq: int, number: int, trades: int) -> Item:
    return Item(name, b"7", seq, 1, trades, number=number)


def test_trades_of_a_transaction_are_counted_by_their_numbers_and_all_taken_back_at_once() -> None:
    position = Continuity(follow=False)
    first = [numbered("trade", seq, seq, 1) for seq in (1, 2)]
    retract = numbered("retract", 3, 3, -1)
    again = [numbered("trade", seq, seq, 1) for seq in (4, 5)]
    assert not breaches(position, *first, retract, *again)
    assert position.count == 5
    assert not position.complete(2)


def test_a_transactions_second_trade_that_is_left_out_or_comes_again_is_found() -> None:
    position = Continuity(follow=True)
    assert breaches(position, numbered("trade", 4, 1, 1), numbered("trade", 6, 3, 1)) == [
        ("lost", 1)
    ]
    assert breaches(position, numbered("trade", 6, 3, 1)) == [("duplicate", 1)]
