"""What checking clients notice."""

import json

import pytest
from follower import Held

from tests.eventsource import Event
from wd_tools.load.frames import parse_frame


def take(held: Held, name: str, event_id: str | None = None, **data: object) -> None:
    id_line = f"id: {event_id}\n" if event_id else ""
    frame = f"{id_line}event: {name}\ndata: {json.dumps(data)}"
    held.take(Event(name, event_id, data, None), parse_frame(frame.encode()).item)


def take_trade(held: Held, event_id: str, signature: str, part: int = 0) -> None:
    take(held, "trade", event_id, signature=signature, part=part)


@pytest.mark.parametrize(
    ("ids", "kinds"),
    [
        (["7-1", "7-2", "7-3"], []),
        (["7-1", "7-3"], ["lost"]),
        (["7-2"], ["lost"]),
        (["7-1", "7-2", "7-2"], ["duplicate"]),
        (["7-1", "8-1"], ["reset"]),
    ],
    ids=["whole", "hole", "begin", "twice", "another epoch"],
)
def test_what_the_contract_does_not_allow_is_a_breach(ids: list[str], kinds: list[str]) -> None:
    held = Held()
    for number, event_id in enumerate(ids):
        take_trade(held, event_id, f"s{number}")
    assert [breach.kind for breach in held.breaches] == kinds


def test_after_a_gap_all_is_taken_anew() -> None:
    held = Held()
    take_trade(held, "7-1", "a")
    take(held, "complete", "7-2", trades_found=1)
    take(held, "gap", reason="expired", **{"from": "7-2", "to": None})
    assert (held.last_event_id, held.keys, held.complete) == ("", [], None)
    take_trade(held, "9-1", "a")
    take_trade(held, "9-2", "b")
    assert held.keys == [("a", 0), ("b", 0)]
    assert held.gaps == {"expired": 1}
    assert held.breaches == []


def test_events_without_an_id_move_nothing() -> None:
    held = Held()
    take_trade(held, "7-1", "a")
    take(held, "heartbeat", timestamp=1)
    take(held, "preview", trades=[], timestamp=1)
    assert held.last_event_id == "7-1"
    assert held.keys == [("a", 0)]


def test_what_is_taken_back_is_held_no_more_and_may_come_again() -> None:
    held = Held()
    take_trade(held, "7-1", "a")
    take_trade(held, "7-2", "c")
    take_trade(held, "7-3", "c", 1)
    take(held, "retract", "7-4", signature="c")
    assert held.keys == [("a", 0)]
    take_trade(held, "7-5", "b")
    take_trade(held, "7-6", "c")
    take_trade(held, "7-7", "c", 1)
    assert held.keys == [("a", 0), ("b", 0), ("c", 0), ("c", 1)]
    assert held.breaches == []
