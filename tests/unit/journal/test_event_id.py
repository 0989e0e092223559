"""Ids and runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wd_server.errors import InvalidParameter
from wd_server.journal.base import EVENT_ID_PART_MAX, EventId, next_epoch

halves = st.integers(0, EVENT_ID_PART_MAX)
# Until 2242, when a run no longer fits a JavaScript number.
moments = st.floats(0, 2**33 - 2**20)


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


@given(st.text(), moments, moments)
def test_an_epoch_is_greater_than_the_earlier_one_whatever_the_clock_does(
    wallet: str, first: float, second: float
) -> None:
    earlier = next_epoch(wallet, None, first)
    epoch = next_epoch(wallet, earlier, second)
    assert earlier < epoch <= EVENT_ID_PART_MAX


def test_runs_of_wallets_that_begin_within_one_second_differ() -> None:
    epochs = {
        next_epoch(wallet, None, 1_700_000_000 + part / 10) for part, wallet in enumerate("abc")
    }
    assert len(epochs) == 3
