"""Which wallets stand in which subscription."""

from hypothesis import given
from hypothesis import strategies as st

from wd_server.chain import wallet_groups
from wd_server.chain.wallet_groups import WalletGroup, regrouped


def _names(first: int, count: int) -> list[str]:
    return [f"w{number}" for number in range(first, first + count)]


def test_newcomers_to_a_large_group_get_a_small_one_of_their_own():
    large = WalletGroup(_names(0, 1000))
    made, replaced = regrouped([large], _names(1000, 3))
    assert [group.wallets for group in made] == [frozenset(_names(1000, 3))]
    assert replaced == []


def test_small_groups_are_taken_along_and_a_group_of_which_half_has_gone_too():
    one, two, wasted = WalletGroup(["a"]), WalletGroup(["b", "c"]), WalletGroup(_names(0, 100))
    wasted.gone |= set(_names(0, 50))
    made, replaced = regrouped([two, wasted, one], ["d"])
    assert set(replaced) == {one, two, wasted}
    assert [group.wallets for group in made] == [frozenset(["a", "b", "c", "d", *_names(50, 50)])]


def test_a_deserted_group_is_ended_without_another_in_its_place():
    group = WalletGroup(["a"])
    group.gone.add("a")
    assert regrouped([group], []) == ([], [group])


def test_no_group_is_larger_than_the_upstream_takes(monkeypatch):
    monkeypatch.setattr(wallet_groups, "WALLETS_MAX", 10)
    made, _ = regrouped([WalletGroup(_names(0, 10))], _names(10, 25))
    assert [len(group.wallets) for group in made] == [10, 10, 5]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=60))
def test_all_who_came_are_somewhere_once_and_groups_stay_few(arrivals):
    groups: list[WalletGroup] = []
    came = 0
    for count in arrivals:
        made, replaced = regrouped(groups, _names(came, count))
        groups = [group for group in groups if group not in replaced] + made
        came += count
    assert sorted(w for group in groups for w in group.wallets) == sorted(_names(0, came))
    assert len(groups) <= came.bit_length() + 1
