"""An id is read back as it was written, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wd_server.errors import InvalidParameter
from wd_server.events.ids import EVENT_ID_PART_MAX, EventId

halves = st.integers(0, EVENT_ID_PART_MAX)


@given(halves, halves)
def test_an_id_reads_back_as_it_was_written(epoch: int, seq: int) -> None:
    assert EventId.parse(str(EventId(epoch, seq))) == EventId(epoch, seq)


@pytest.mark.parametrize(
    "text",
    [
        "", "-", "1", "1-", "-1", "1--1", "1-2-3", "a-1", "1-b", " 1-2", "1-2 ", "1-2\n", "+1-2",
        "1_0-2", "1.0-2", "²-1", "\u0661-1", "0x1-1", f"{2**53}-1", f"1-{2**53}", "1-" + "9" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter):
        EventId.parse(text)
