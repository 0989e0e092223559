"""Each epoch of a wallet is greater than those before it, and the wallet's own."""

from hypothesis import given
from hypothesis import strategies as st

from wd_server.events.ids import EVENT_ID_PART_MAX
from wd_server.journal.base import next_epoch

# Until 2242, when an epoch no longer fits a JavaScript number.
moments = st.floats(0, 2**33 - 2**20)


@given(st.text(), moments, moments)
def test_an_epoch_is_greater_than_the_earlier_one_whatever_the_clock_does(
    wallet: str, first: float, second: float
) -> None:
    earlier = next_epoch(wallet, None, first)
    epoch = next_epoch(wallet, earlier, second)
    assert earlier < epoch <= EVENT_ID_PART_MAX


def test_epochs_of_wallets_that_begin_within_one_second_differ() -> None:
    epochs = {
        next_epoch(wallet, None, 1_700_000_000 + part / 10) for part, wallet in enumerate("abc")
    }
    assert len(epochs) == 3
