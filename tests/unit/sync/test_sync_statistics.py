"""What the sync of wallets counts."""

from wd_server.sync.checkpoint import Unexplained
from wd_server.sync.statistics import OTHER_REASON, REASONS_MAX, SyncStatistics


def test_what_is_unexplained_is_counted_by_a_bounded_number_of_reasons() -> None:
    statistics = SyncStatistics()
    for number in range(REASONS_MAX + 5):
        statistics.left_unexplained({f"reason-{number}": Unexplained(1, 10)})
    statistics.left_unexplained({"reason-0": Unexplained(2, 5)})
    assert len(statistics.unexplained) == REASONS_MAX + 1
    assert statistics.unexplained["reason-0"] == 3
    assert statistics.unexplained_lamports["reason-0"] == 15
    assert statistics.unexplained[OTHER_REASON] == 5
    assert statistics.unexplained_lamports[OTHER_REASON] == 50


def test_a_pass_counts_what_it_added_and_nothing_that_a_fork_took_back() -> None:
    assert Unexplained(3, 70).beyond(Unexplained(1, 100)) == Unexplained(2, 0)
