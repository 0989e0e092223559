from hypothesis import given
from hypothesis import strategies as st

from wd_server.streaming.wheel import NOWHERE, WHEEL_SECONDS, TimerWheel


class Spoke:
    def __init__(self) -> None:
        self.slot = NOWHERE


@given(st.lists(st.integers(1, WHEEL_SECONDS - 1), max_size=50))
def test_everybody_is_due_once_after_the_seconds_asked_for(waits: list[int]) -> None:
    wheel: TimerWheel[Spoke] = TimerWheel()
    spokes = {Spoke(): wait for wait in waits}
    for spoke, wait in spokes.items():
        wheel.set(spoke, wait)
    due_at = {spoke: wheel.now for _ in range(WHEEL_SECONDS) for spoke in wheel.turn()}
    assert due_at == spokes
    assert len(wheel) == 0


def test_who_is_set_again_is_due_only_at_the_later_time() -> None:
    wheel: TimerWheel[Spoke] = TimerWheel()
    spoke = Spoke()
    wheel.set(spoke, 2)
    wheel.turn()
    wheel.set(spoke, 2)
    assert wheel.turn() == []
    assert wheel.turn() == [spoke]


def test_who_leaves_is_never_due_and_may_leave_twice() -> None:
    wheel: TimerWheel[Spoke] = TimerWheel()
    spoke = Spoke()
    wheel.set(spoke, 1)
    wheel.discard(spoke)
    wheel.discard(spoke)
    assert wheel.turn() == []


def test_a_wait_beyond_the_wheel_is_looked_at_once_on_the_way() -> None:
    wheel: TimerWheel[Spoke] = TimerWheel()
    spoke = Spoke()
    wheel.set(spoke, 10 * WHEEL_SECONDS)
    due = [wheel.now for _ in range(WHEEL_SECONDS) if wheel.turn()]
    assert due == [WHEEL_SECONDS - 1]
