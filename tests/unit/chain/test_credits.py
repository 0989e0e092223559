"""What is counted, and when a day's budget says stop."""

import pytest

from wd_server.chain.credits import BYTES_A_CREDIT, DAY_SECONDS, Credits
from wd_server.errors import UpstreamQuota


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
