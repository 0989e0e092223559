import pytest
from wd_client.position import Position


@pytest.mark.parametrize(
    ("last", "event_id", "new"),
    [
        (None, "7-1", True),
        ("7-1", "7-2", True),
        ("7-9", "7-10", True),
        ("7-2", "7-2", False),
        ("7-10", "7-9", False),
        ("7-9", "8-1", True),
        ("opaque", "another", True),
        ("opaque", "opaque", False),
        ("7-1", "7-1x", True),
    ],
)
def test_an_event_is_new_when_it_lies_behind_the_position(
    last: str | None, event_id: str, new: bool
) -> None:
    position = Position(last)
    assert position.take(event_id) is new
    assert position.last_event_id == (event_id if new else last)


def test_after_a_gap_the_same_ids_are_new() -> None:
    position = Position("7-5")
    position.forget()
    assert position.last_event_id is None
    assert position.take("7-1")
