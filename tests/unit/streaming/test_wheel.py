from hypothesis import given
from hypothesis import strategies as st

from wd_server.streaming.wheel import NOWHERE, WHEEL_SECONDS, TimerWheel


class Timed:
    def __init__(self) -> None:
        self.slot = NOWHERE


@given(st.lists(st.integers(1, WHEEL_SECONDS - 1), max_size=50))
def test_everybody_is_due_once_after_the_seconds_asked_for(waits: list[int]) -> None:
    wheel: TimerWheel[Timed] = TimerWheel()
    timers = {Timed(): wait for wait in waits}
    for timed, wait in timers.items():
        wheel.set(timed, wait)
    due_at = {timed: wheel.now for _ in range(WHEEL_SECONDS) for timed in wheel.turn()}
    assert due_at == timers
    assert len(wheel) == 0


def test_who_is_set_again_is_due_only_at_the_later_time() -> None:
    wheel: TimerWheel[Timed] = TimerWheel()
    timed = Timed()
    wheel.set(timed, 2)
    wheel.turn()
    wheel.set(timed, 2)
    assert wheel.turn() == []
    assert wheel.turn() == [timed]


def test_who_leaves_is_never_due_and_may_leave_twice() -> None:
    wheel: TimerWheel[Timed] = TimerWheel()
    timed = Timed()
    wheel.set(timed, 1)
    wheel.discard(timed)
    wheel.discard(timed)
    assert wheel.turn() == []


def test_a_wait_beyond_the_wheel_is_looked_at_once_on_the_way() -> None:
    wheel: TimerWheel[Timed] = TimerWheel()
    timed = Timed()
    wheel.set(timed, 10 * WHEEL_SECONDS)
    due = [wheel.now for _ in range(WHEEL_SECONDS) if wheel.turn()]
    assert due == [WHEEL_SECONDS - 1]
