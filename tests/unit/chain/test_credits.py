"""What is counted, and when a day's budget says stop."""

import pytest

from wd_server.chain.credits import BYTES_A_CREDIT, DAY_SECONDS, Credits, Share
from wd_server.chain.turns import Tenant
from wd_server.errors import CreditsSpent, UpstreamQuota


class Clock:
    now = 20_000.0 * DAY_SECONDS

    def __call__(self) -> float:
        return self.now


def test_credits_are_counted_by_method_and_traffic_by_its_bytes():
    account = Credits(0, Clock())
    account.spend("getTransaction", 3)
    account.spend("getTransaction", 1)
    for _ in range(5):
        account.spend_bytes(BYTES_A_CREDIT // 2)
    assert account.spent == {"getTransaction": 4, "websocket": 2}
    account.check()
    account.check_following()


def test_following_ends_before_the_budget_and_everything_with_it_until_midnight():
    clock = Clock()
    account = Credits(100, clock)
    account.spend("x", 94)
    account.check_following()
    account.spend("x", 1)
    with pytest.raises(UpstreamQuota):
        account.check_following()
    account.check()
    account.spend("x", 5)
    clock.now += 3600
    with pytest.raises(UpstreamQuota) as refused:
        account.check()
    assert refused.value.retry_after == DAY_SECONDS - 3600
    clock.now += DAY_SECONDS
    account.check_following()
    assert account.today == 0


def told(account: Credits, store: dict[int, int], spent: int = 0) -> None:
    """A store has what this process and others spent, and says so."""
    for share in account.shares():
        total = share.total_with(store.get(share.day, 0), 0)
        store[share.day] = total + spent
        account.count(share, store[share.day])


def test_a_budget_is_used_up_by_what_others_spend_too():
    account, store = Credits(100, Clock()), {}
    account.spend("x", 10)
    told(account, store, spent=84)
    assert (account.today, account.own_today) == (94, 10)
    account.check_following()
    account.spend("x", 1)
    assert (account.today, account.own_today) == (95, 11)
    with pytest.raises(UpstreamQuota):
        account.check_following()
    told(account, store, spent=5)
    assert account.today == 100
    with pytest.raises(UpstreamQuota):
        account.check()


def test_what_is_spent_while_the_store_is_told_counts_once():
    account = Credits(100, Clock())
    account.spend("x", 10)
    (share,) = account.shares()
    account.spend("x", 5)
    account.count(share, 30)
    assert account.today == 35
    assert account.shares() == [Share(share.day, 15, 10, 30)]


def test_what_was_spent_before_midnight_is_told_of_the_day_that_is_over():
    clock = Clock()
    account = Credits(100, clock)
    day = int(clock.now // DAY_SECONDS)
    account.spend("x", 10)
    (before,) = account.shares()
    account.spend("x", 2)
    clock.now += DAY_SECONDS
    account.spend("x", 1)
    assert account.shares() == [Share(day + 1, 1), Share(day, 12)]
    account.count(before, 50)  # the answer was late
    assert account.shares() == [Share(day + 1, 1), Share(day, 12, 10, 50)]
    told(account, {day: 50})
    assert [share.day for share in account.shares()] == [day + 1]
    assert (account.today, account.own_today) == (1, 1)


def test_of_days_long_over_nothing_is_kept():
    clock = Clock()
    account = Credits(100, clock)
    for _ in range(5):
        account.spend("x", 10)
        clock.now += DAY_SECONDS
    assert [share.spent for share in account.shares()] == [0, 10]
    clock.now += 3 * DAY_SECONDS
    (share,) = account.shares()
    assert share.spent == 0


def test_a_clock_that_is_set_back_over_midnight_gives_no_second_budget():
    clock = Clock()
    account = Credits(100, clock)
    account.spend("x", 100)
    clock.now -= 10
    with pytest.raises(UpstreamQuota):
        account.check()


def test_a_clock_that_was_a_day_ahead_holds_nobody_back_when_it_is_right_again():
    clock = Clock()
    account = Credits(100, clock)
    account.spend("x", 40)
    clock.now += DAY_SECONDS
    account.spend("x", 100)
    with pytest.raises(UpstreamQuota):
        account.check()
    clock.now -= DAY_SECONDS
    account.check()
    assert account.today == 40
    clock.now += 400 * DAY_SECONDS
    account.spend("x", 100)
    clock.now -= 400 * DAY_SECONDS
    account.check()


def test_what_is_spent_in_the_name_of_a_tenant_with_a_limit_is_counted_for_it_too():
    clock = Clock()
    account, tenant, other = Credits(0, clock), Tenant("key:a", 10), Tenant("key:b")
    account.spend("x", 9, tenant)
    account.spend("x", 100, other)
    account.check([tenant])
    account.spend("x", 1, tenant)
    clock.now += 3600
    with pytest.raises(CreditsSpent) as refused:
        account.check([tenant])
    assert refused.value.retry_after == DAY_SECONDS - 3600
    account.check([tenant, other])
    account.check()
    clock.now += DAY_SECONDS
    account.check([tenant])


def test_the_store_is_asked_for_a_tenant_s_account_only_while_somebody_needs_it():
    account, tenant = Credits(0, Clock()), Tenant("key:a", 10)
    assert account.shares() == []
    account.check([tenant])
    (share,) = account.shares()
    assert (share.account, share.spent) == ("key:a", 0)
    account.count(share, 10)  # another node has spent it
    assert account.shares() == []
    with pytest.raises(CreditsSpent):
        account.check([tenant])
    account.spend("x", 1, tenant)
    (share,) = account.shares()
    assert (share.spent, share.counted, share.total) == (1, 0, 10)


def test_a_tenant_that_was_not_here_for_a_day_is_forgotten_when_the_store_has_all_of_it():
    clock = Clock()
    account, tenant, asked = Credits(0, clock), Tenant("key:a", 10), []
    account.on_new_tenant = lambda: asked.append(clock.now)
    account.spend("x", 10, tenant)
    clock.now += DAY_SECONDS
    told(account, {})
    account.spend("x", 3, tenant)
    clock.now += DAY_SECONDS
    assert [share.spent for share in account.shares()] == [3], "it isn't told yet"
    account.check([tenant])
    told(account, {})
    assert len(asked) == 1
    clock.now += 2 * DAY_SECONDS
    assert account.shares() == []
    account.check([tenant])
    assert len(asked) == 2


def test_a_tenant_is_remembered_by_a_clock_that_was_a_day_ahead():
    clock = Clock()
    account, tenant = Credits(0, clock), Tenant("key:a", 10)
    account.spend("x", 5, tenant)
    told(account, {})
    clock.now += DAY_SECONDS
    assert account.shares() == []
    clock.now -= DAY_SECONDS
    account.spend("x", 1, tenant)
    assert [share.spent for share in account.shares()] == [6]
