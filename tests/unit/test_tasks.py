"""What becomes of background tasks whose author was wrong."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import wraps
from typing import Any

import pytest
from structlog.testing import capture_logs

from wd_server import tasks
from wd_server.tasks import AGAIN_SECONDS, LOG_SECONDS, STEADY_SECONDS, Tasks


def in_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        async def whole() -> None:
            await test(*arguments, **named)

        asyncio.run(whole())

    return run


class Time:
    """A clock that goes on only where somebody sleeps by it; `slept` are the pauses."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def background(time: Time) -> Tasks:
    return Tasks(clock=time, sleep=time.sleep)


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[Any]]:
    """What is logged."""
    with capture_logs() as logged:
        yield logged


async def forever() -> None:
    await asyncio.Event().wait()


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Failing:
    """Fails so many times, and works from then on."""

    def __init__(self, times: int, error: BaseException | None = None) -> None:
        self.left = times
        self.begun = 0
        self._error = error or KeyError("odd")

    async def __call__(self) -> None:
        self.begun += 1
        if self.left:
            self.left -= 1
            raise self._error
        await forever()


@in_loop
async def test_an_endless_task_begins_again_after_an_exception_and_the_log_has_both(
    background: Tasks, lines: list[Any]
) -> None:
    work = Failing(1)
    task = background.keep("reader", work)
    await turns()
    assert work.begun == 2
    assert not task.done()
    assert background.statistics().failures == {"reader": 1}
    assert [(line["task"], line["log_level"]) for line in lines] == [("reader", "error")]
    assert isinstance(lines[0]["exc_info"], KeyError)
    await background.close()
    assert task.cancelled()


@in_loop
async def test_a_task_counts_as_failing_until_it_has_run_for_a_while(
    background: Tasks, time: Time
) -> None:
    background.keep("reader", Failing(1))
    background.keep("other", Failing(0))
    assert background.statistics().failing == ()
    await turns()
    assert background.statistics().failing == ("reader",)
    time.now += STEADY_SECONDS - 0.1
    assert background.statistics().failing == ("reader",)
    time.now += 0.2
    assert background.statistics().failing == ()
    await background.close()


@in_loop
async def test_a_task_that_fails_again_and_again_counts_as_failing_all_the_time(
    background: Tasks, time: Time
) -> None:
    task = background.keep("reader", Failing(1000))
    await turns(2)
    for _ in range(50):
        await turns(1)
        assert background.statistics().failing == ("reader",)
    await background.end(task)
    assert background.statistics().failing == (), "a task that is over fails no more"
    least, most = AGAIN_SECONDS
    assert time.slept[:4] == [least, 2 * least, 4 * least, 8 * least]
    assert time.slept[-1] == most


@in_loop
async def test_the_pause_is_short_again_after_a_time_without_failures(
    background: Tasks, time: Time
) -> None:
    async def work() -> None:
        time.now += STEADY_SECONDS
        raise KeyError

    task = background.keep("reader", work)
    await turns()
    await background.end(task)
    assert set(time.slept) == {AGAIN_SECONDS[0]}


@in_loop
async def test_a_future_that_is_cancelled_inside_is_no_end_of_the_task(background: Tasks) -> None:
    work = Failing(1, asyncio.CancelledError())
    task = background.keep("reader", work)
    await turns()
    assert work.begun == 2
    assert background.statistics().failures == {"reader": 1}
    await background.end(task)
    assert task.cancelled()


@in_loop
async def test_a_deadline_inside_is_met_as_a_timeout(background: Tasks, lines: list[Any]) -> None:
    async def work() -> None:
        async with asyncio.timeout(0):
            await forever()

    await background.spawn("late", work())
    assert isinstance(lines[0]["exc_info"], TimeoutError)


@in_loop
async def test_a_task_that_turns_its_cancellation_into_another_exception_ends_all_the_same(
    background: Tasks,
) -> None:
    async def work() -> None:
        try:
            await forever()
        finally:
            raise KeyError("while it was cleaned up")

    task = background.keep("reader", work)
    await turns()
    await background.end(task)
    assert task.done()
    assert background.statistics().failures == {"reader": 1}


@in_loop
async def test_an_endless_task_that_returns_is_over(background: Tasks) -> None:
    async def work() -> None:
        await asyncio.sleep(0)

    await background.keep("reader", work)
    assert background.statistics() == ({"reader": 0}, (), {"reader"})


@in_loop
async def test_work_that_is_done_every_so_often_goes_on_after_a_failure(
    background: Tasks, time: Time
) -> None:
    done: list[float] = []

    async def work() -> None:
        done.append(time.now)
        if len(done) == 2:
            raise KeyError

    task = background.every("turn", 60, work)
    await turns(8)
    await background.end(task)
    assert [round(at - done[0], 1) for at in done[:4]] == [0, 60, 60.1, 120.1]


@in_loop
async def test_what_nobody_awaits_is_logged_and_counted_with_what_it_was_about(
    background: Tasks, lines: list[Any]
) -> None:
    async def work() -> None:
        raise KeyError("odd")

    told: list[bool] = []
    await background.spawn("page", work(), on_failure=lambda: told.append(True), wallet="W")
    assert told == [True]
    assert background.statistics() == ({"page": 1}, (), frozenset())
    assert (lines[0]["task"], lines[0]["wallet"]) == ("page", "W")


@in_loop
async def test_work_that_is_ended_before_it_began_leaves_nothing_behind(
    background: Tasks,
) -> None:
    told: list[bool] = []
    task = background.spawn("page", forever(), on_failure=lambda: told.append(True))
    await background.close()
    assert task.cancelled()
    assert not told
    assert background.statistics() == ({"page": 0}, (), frozenset())


@in_loop
async def test_a_callback_that_fails_is_counted_and_its_caller_goes_on(
    background: Tasks, lines: list[Any]
) -> None:
    assert background.attempt("message", lambda: 1 / 1)
    assert not background.attempt("message", lambda: 1 / 0, wallet="W")
    assert background.statistics().failures == {"message": 1}
    assert lines[0]["wallet"] == "W"


@in_loop
async def test_a_stranger_who_makes_each_message_fail_cannot_fill_the_log(
    background: Tasks, time: Time, lines: list[Any]
) -> None:
    for _ in range(100):
        background.attempt("message", lambda: 1 / 0)
    time.now += LOG_SECONDS
    background.attempt("message", lambda: 1 / 0)
    assert background.statistics().failures == {"message": 101}
    assert len(lines) == 2


@in_loop
async def test_a_task_that_does_not_end_keeps_nobody_from_closing(
    background: Tasks, monkeypatch: pytest.MonkeyPatch, lines: list[Any]
) -> None:
    monkeypatch.setattr(tasks, "END_SECONDS", 0.0)
    may_end = asyncio.Event()

    async def stubborn() -> None:
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue

    task = background.spawn("stubborn", stubborn())
    await turns(2)
    await background.close()
    assert lines == [
        {"event": "a background task doesn't end", "log_level": "error", "task": "stubborn"}
    ]
    may_end.set()
    await task
