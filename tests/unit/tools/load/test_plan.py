from collections import Counter
from random import Random

import pytest

from wd_tools.load.plan import (
    PROCESS_STREAMS,
    SOURCE_STREAMS,
    SPARE_FILES,
    Assignment,
    PlanError,
    Wishes,
    plan,
)

WALLETS = ["A", "B", "C", "D"]


def streams(wishes: Wishes, seed: int = 1) -> list[Assignment]:
    """In the order in which they are opened."""
    parts = plan(wishes, Random(seed).random)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    return [part[row] for row in range(len(parts[0])) for part in parts if row < len(part)]


def test_every_stream_is_assigned_to_one_process() -> None:
    parts = plan(Wishes(streams=10, wallets=WALLETS, processes=3), Random(1).random)
    assert [len(part) for part in parts] == [4, 3, 3]


def test_a_process_holds_no_more_than_its_limit_of_files_allows() -> None:
    wishes = Wishes(streams=1000, wallets=WALLETS, files=SPARE_FILES + 300)
    assert [len(part) for part in plan(wishes, Random(1).random)] == [250] * 4


def test_a_process_is_not_filled_beyond_what_one_python_process_can_drive() -> None:
    wishes = Wishes(streams=PROCESS_STREAMS + 1, wallets=WALLETS, files=10**6)
    assert len(plan(wishes, Random(1).random)) == 2


def test_too_few_processes_for_the_streams_are_refused_with_the_number_that_is_needed() -> None:
    wishes = Wishes(streams=1000, wallets=WALLETS, processes=3, files=SPARE_FILES + 300)
    with pytest.raises(PlanError, match="need 4 processes"):
        plan(wishes, Random(1).random)


def test_a_machine_that_allows_hardly_any_file_is_told_so() -> None:
    with pytest.raises(PlanError, match="ulimit -n"):
        plan(Wishes(streams=1, wallets=WALLETS, files=64), Random(1).random)


def test_no_process_is_started_for_nothing() -> None:
    assert len(plan(Wishes(streams=2, wallets=WALLETS, processes=5), Random(1).random)) == 2


def test_an_even_spread_gives_each_wallet_as_many() -> None:
    counts = Counter(each.wallet for each in streams(Wishes(streams=40, wallets=WALLETS)))
    assert set(counts.values()) == {10}


def test_a_zipf_spread_gives_the_wallet_at_rank_r_a_share_of_one_to_r() -> None:
    wishes = Wishes(streams=10_000, wallets=WALLETS, spread="zipf", zipf_s=1.0)
    counts = Counter(each.wallet for each in streams(wishes))
    whole = 1 + 1 / 2 + 1 / 3 + 1 / 4
    for rank, wallet in enumerate(WALLETS, 1):
        assert counts[wallet] == pytest.approx(10_000 / rank / whole, rel=0.1)


def test_the_same_seed_makes_the_same_plan() -> None:
    wishes = Wishes(streams=500, wallets=WALLETS, spread="zipf")
    assert streams(wishes, 3) == streams(wishes, 3)
    assert streams(wishes, 3) != streams(wishes, 4)


def test_keys_take_turns_and_nobody_has_one_where_none_is_given() -> None:
    assert [each.key for each in streams(Wishes(streams=4, wallets=WALLETS, keys=3))] == [
        *(0, 1, 2, 0)
    ]
    assert {each.key for each in streams(Wishes(streams=4, wallets=WALLETS))} == {None}


@pytest.mark.parametrize(("percent", "slow"), [(0, 0), (1, 2), (2.5, 5), (50, 100), (100, 200)])
def test_so_many_of_a_hundred_are_slow(percent: float, slow: int) -> None:
    made = streams(Wishes(streams=200, wallets=WALLETS, slow=percent))
    assert sum(each.slow for each in made) == slow


def test_the_kernel_chooses_the_address_while_one_has_ports_enough() -> None:
    made = streams(Wishes(streams=SOURCE_STREAMS, wallets=WALLETS, loopback=True))
    assert {each.source for each in made} == {None}


def test_many_streams_on_the_loopback_come_from_several_addresses_of_it() -> None:
    made = streams(Wishes(streams=2 * SOURCE_STREAMS + 1, wallets=WALLETS, loopback=True))
    counts = Counter(each.source for each in made)
    assert counts.keys() == {"127.0.0.2", "127.0.0.3", "127.0.0.4"}
    assert max(counts.values()) <= SOURCE_STREAMS


def test_elsewhere_only_addresses_that_were_named_are_used() -> None:
    assert {each.source for each in streams(Wishes(streams=50_000, wallets=WALLETS))} == {None}
    named = streams(Wishes(streams=4, wallets=WALLETS, sources=["10.0.0.1", "10.0.0.2"]))
    assert [each.source for each in named] == ["10.0.0.1", "10.0.0.2"] * 2


def test_more_streams_than_the_loopback_has_ports_for_are_refused() -> None:
    wishes = Wishes(streams=254 * SOURCE_STREAMS, wallets=WALLETS, loopback=True, files=10**6)
    with pytest.raises(PlanError, match=r"127\.0\.0\.0/24"):
        plan(wishes, Random(1).random)
