from decimal import Decimal

import pytest
from samples import trade
from wd_client.errors import Refused, Unreachable
from wd_client.events import Away, Connected, Event, Gap, Preview, Retract, Trades

from wd_tools.watch.board import ROWS, Board, reason
from wd_tools.watch.screen import state

CONNECTED = Connected(
    stream_id="s",
    timestamp=1,
    resumed=False,
    heartbeat_seconds=15,
    follow=True,
    server="x",
    wallets=None,
)


def shown(*events: Event) -> Board:
    board = Board("W")
    for event in events:
        board.take(event, now=0.0)
    return board


def signatures(board: Board) -> list[str]:
    return [each.signature for each in board.shown]


def test_a_preview_is_shown_until_the_first_trade_that_is_final() -> None:
    preview = Preview(trades=(trade("new"),), timestamp=1)
    board = shown(preview)
    assert signatures(board) == ["new"]
    board.take(trade("old"), 0.0)
    assert signatures(board) == ["old"]
    board.take(preview, 0.0)
    assert signatures(board) == ["old"]


def test_a_batch_is_its_trades() -> None:
    trades = (trade("a"), trade("b"))
    batch = Trades(trades=trades, batch_num=1, total_yielded=2, has_more=False, timestamp=1)
    board = shown(batch)
    assert signatures(board) == ["a", "b"]


def test_a_gap_discards_and_a_retract_takes_one_back() -> None:
    board = shown(trade("a"), trade("b"), Retract(signature="a"))
    assert signatures(board) == ["b"]
    board.take(Gap(reason="reset", from_id="7-2", to_id=None), 0.0)
    assert signatures(board) == []


def test_a_retract_takes_back_all_trades_of_its_transaction() -> None:
    both = [trade("a", part=part, parts=2) for part in (0, 1)]
    board = shown(*both, trade("b"))
    assert signatures(board) == ["a", "a", "b"]
    board.take(Retract(signature="a"), 0.0)
    assert signatures(board) == ["b"]
    assert board.notes == ["A transaction was taken back: a"]


def test_a_corrected_trade_stands_where_its_first_version_stood_and_is_said_so() -> None:
    board = shown(trade("a"), trade("b"), Retract(signature="a"))
    board.take(trade("a", replaces="7-1", pnl_sol=Decimal(3)), 0.0)
    assert [(each.signature, each.pnl_sol) for each in board.shown] == [
        *(("a", Decimal(3)), ("b", Decimal("-0.5"))),
    ]
    assert board.notes == ["A trade has other numbers now: a"]


def test_a_preview_shows_each_trade_of_a_transaction() -> None:
    both = tuple(trade("a", part=part, parts=2) for part in (0, 1))
    assert signatures(shown(Preview(trades=both, timestamp=1))) == ["a", "a"]


def test_it_keeps_no_more_than_can_be_shown() -> None:
    board = shown(*(trade(str(number)) for number in range(2 * ROWS)))
    assert len(board.trades) == ROWS
    assert signatures(board)[-1] == str(2 * ROWS - 1)


def test_the_state_counts_down_while_away_and_is_over_with_the_connection() -> None:
    board = shown(CONNECTED, Away(seconds=7.2, cause=Unreachable("Gone.")))
    assert state(board, 0.0)[0] == "away, back in 8 s: Gone."
    assert state(board, 5.0)[0] == "away, back in 3 s: Gone."
    assert state(board, 50.0)[0] == "away, back in 0 s: Gone."
    board.take(CONNECTED, 8.0)
    assert state(board, 8.0)[0] == "reading the history"


def test_why_it_is_away_names_the_code_where_there_is_one() -> None:
    cause = Refused("Full.", code="AT_CAPACITY", status=503)
    assert reason(Away(seconds=1, cause=cause)) == "Full. (AT_CAPACITY)"


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (
            "unknown_id",
            "The id to go on from is none of this wallet's, so all is read from the beginning.",
        ),
        (
            "expired",
            "What follows the id is no longer stored, so all is read from the beginning.",
        ),
        ("reset", "The server's history began anew, so this did too."),
        ("mismatch", "What came was not what the server proves, so it is read anew."),
    ],
)
def test_a_gap_says_whose_doing_it_is(cause: str, text: str) -> None:
    board = shown(CONNECTED, Gap(reason=cause, from_id="", to_id=None))
    assert board.notes == [text]
