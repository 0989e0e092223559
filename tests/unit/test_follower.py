"""What checking clients notice."""

import json

import pytest
from follower import Held


def event(name: str, event_id: str = "", **data: object) -> bytes:
    ids = f"id: {event_id}\n" if event_id else ""
    return f"{ids}event: {name}\ndata: {json.dumps(data)}".encode()


def trade(event_id: str, signature: str) -> bytes:
    return event("trade", event_id, signature=signature)


@pytest.mark.parametrize(
    ("ids", "kinds"),
    [
        (["7-1", "7-2", "7-3"], []),
        (["7-1", "7-3"], ["lost"]),
        (["7-2"], ["lost"]),
        (["7-1", "7-2", "7-2"], ["duplicate"]),
        (["7-1", "8-1"], ["reset"]),
    ],
    ids=["whole", "hole", "begin", "twice", "another run"],
)
def test_what_the_contract_does_not_allow_is_a_breach(ids: list[str], kinds: list[str]) -> None:
    held = Held()
    for number, event_id in enumerate(ids):
        held.take(trade(event_id, f"s{number}"))
    assert [breach.kind for breach in held.breaches] == kinds


def test_after_a_gap_all_is_taken_anew() -> None:
    held = Held()
    held.take(trade("7-1", "a"))
    held.take(event("complete", "7-2", trades_found=1))
    held.take(event("gap", reason="expired", **{"from": "7-2", "to": None}))
    assert (held.last_event_id, held.signatures, held.complete) == ("", [], None)
    held.take(trade("9-1", "a"))
    held.take(trade("9-2", "b"))
    assert held.signatures == ["a", "b"]
    assert held.gaps == {"expired": 1}
    assert held.breaches == []


def test_events_without_an_id_move_nothing() -> None:
    held = Held()
    held.take(trade("7-1", "a"))
    held.take(event("heartbeat", timestamp=1))
    held.take(event("preview", trades=[], timestamp=1))
    assert held.last_event_id == "7-1"
    assert held.signatures == ["a"]
