import msgspec
import pytest

from wd_tools.load.continuity import Breach
from wd_tools.load.fleet import Outcome
from wd_tools.load.frames import Frames, parse_block
from wd_tools.load.job import Result
from wd_tools.load.report import Behind, LoadParameters, Report, behind, report
from wd_tools.load.table import rows
from wd_tools.load.tally import EXAMPLES, Tally, bump

ASKED = LoadParameters("http://127.0.0.1:1", 10, 2, 1, "even", True, 0, 0, 0.0, 30.0, 0.0, 0.0, 7)


def made(*tallies: Tally) -> Report:
    results = [Result(tally, 1.0, 0.5, 1000, 0.3) for tally in tallies]
    return report(ASKED, Outcome(results, 2.0, 40.0))


def opened(count: int, first: float, last: float) -> Tally:
    tally = Tally()
    tally.opened.add(first)
    for _ in range(count - 1):
        tally.opened.add(last)
    return tally


def test_processes_are_added_up_over_the_time_from_the_first_to_the_last() -> None:
    found = made(opened(4, 1000, 2000), opened(6, 1500, 3000))
    assert found.opening.opened == 10
    assert found.opening.seconds == 2.0
    assert found.opening.per_second == 5.0
    assert found.client.cpu_user == 2.0
    assert found.is_complete


def test_reasons_of_all_processes_are_added_up() -> None:
    first, second = Tally(), Tally()
    bump(first.closes, "complete", 2)
    bump(second.closes, "complete")
    bump(second.closes, "bye slow")
    assert made(first, second).closes == {"bye slow": 1, "complete": 3}


@pytest.mark.parametrize("kind", ["lost", "duplicate", "reset", "malformed_id"])
def test_every_kind_of_breach_spoils_the_test_and_is_shown(kind: str) -> None:
    tally = Tally()
    assert made(tally).is_whole
    tally.note_breach("W", Breach(kind, 2, "7-1", "7-4"))
    found = made(tally)
    assert not found.is_whole
    assert any("7-4 after 7-1 of W" in figure for _, figure in rows(found))


def test_not_every_breach_of_a_broken_server_is_shown() -> None:
    tally = Tally()
    for _ in range(1000):
        tally.note_breach("W", Breach("lost", 1, "7-1", "7-3"))
    found = made(tally, tally)
    assert found.ids.lost == 2000
    assert len(found.ids.examples) == EXAMPLES


def test_a_delay_is_told_of_trades_stored_after_the_stream_was_there() -> None:
    tally = Tally()
    block = parse_block(
        b'id: 7-1\nevent: trade\ndata: {"emitted_at":500}\n\n'
        b'id: 7-2\nevent: trade\ndata: {"emitted_at":1100}\n\n'
        b'id: 7-3\nevent: trade\ndata: {"emitted_at":1250}\n\n',
        Frames(),
    )
    tally.note_live(block, since=1000, now=1200)
    found = made(tally)
    assert found.live.trades == 2
    assert found.live.delay_ms.max == 100
    assert found.live.early == 1


def test_streams_that_ended_before_the_furthest_of_their_wallet_are_behind() -> None:
    assert behind({"A": {"7-10": 5, "7-8": 2}, "B": {"3-4": 9}}) == Behind(2, 4)
    assert behind({"A": {"7-3": 1, "": 1}}) == Behind(1, 3)
    assert behind({}) == Behind(0, 0)


def test_what_processes_tell_survives_the_pipe() -> None:
    tally = opened(3, 1, 2)
    tally.note_position("A", "7-1")
    tally.note_breach("A", Breach("lost", 1, "7-1", "7-3"))
    assert msgspec.json.decode(msgspec.json.encode(tally), type=Tally) == tally
