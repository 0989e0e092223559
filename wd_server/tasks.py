"""Background tasks: each has a name, and none ends without anybody's noticing.

asyncio keeps a task's exception until somebody asks for it, and nobody asks an endless task. One
that met an exception that its author didn't expect would be gone for good, and the server would go
on as if nothing had happened. Here such an exception is logged and counted under the task's name.
Endless work begins again after a pause; while it fails, and for STEADY_SECONDS after that, its name
is among `failing`, and the server's health is degraded.

| what it is | how it is started |
|---|---|
| endless: it ends only when its owner ends it, or by returning | `keep`, or `every` for turns |
| one piece of work that nobody awaits | `spawn` |
| a callback on a message from outside, which must not stop whoever hands it on | `attempt` |
| one piece of work that somebody awaits | `asyncio`: whoever awaits it meets the exception |
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from time import monotonic
from typing import Any, Final, NamedTuple

import structlog

# Seconds until a task that failed begins again: at first, and at most after several failures in a
# row. What is the matter is rarely over sooner, and who looks at the log finds two lines a minute.
AGAIN_SECONDS: Final = (0.1, 30.0)
# Seconds that a task has to run without a failure until it counts as well again. As long as the
# longest pause, so that one that fails again and again never does.
STEADY_SECONDS: Final = 30.0
# Seconds that the end of a task is waited for. One that isn't over then is left and logged, so that
# it can't keep a server from stopping.
END_SECONDS: Final = 5.0
# Seconds between two tracebacks under one name: failures may come with each message of a stranger.
LOG_SECONDS: Final = 1.0

_log = structlog.get_logger("tasks")


class TaskStatistics(NamedTuple):
    """`failures` since the start, by name. `failing`: names of endless tasks that failed lately.
    `endless`: names of all endless tasks that were begun since the start."""

    failures: Mapping[str, int]
    failing: tuple[str, ...]
    endless: frozenset[str]


class Tasks:
    """The background tasks of a process. Names are literals in the code, so they are few.

    `clock` is monotonic seconds.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._names: dict[asyncio.Task[None], str] = {}
        # Until when an endless task counts as failing; infinity while it waits to begin again.
        self._failing_until: dict[asyncio.Task[None], float] = {}
        self._failures: Counter[str] = Counter()
        self._endless: set[str] = set()
        self._logged_at: dict[str, float] = {}

    def statistics(self) -> TaskStatistics:
        now = self._clock()
        failing = {self._names[task] for task, until in self._failing_until.items() if now < until}
        endless = frozenset(self._endless)
        return TaskStatistics(dict(self._failures), tuple(sorted(failing)), endless)

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """What the loop itself meets (a timer's callback, a task that nobody asks) is logged and
        counted, too."""
        loop.set_exception_handler(self._stray)

    def spawn(
        self,
        name: str,
        work: Coroutine[Any, Any, None],
        *,
        on_failure: Callable[[], None] | None = None,
        **facts: object,
    ) -> asyncio.Task[None]:
        """Do some work that nobody awaits. `on_failure` is called after an exception, `facts` are
        logged with it. The task itself never raises."""
        task = self._start(name, self._once(name, work, on_failure, facts))
        task.add_done_callback(lambda _: work.close())  # one that is cancelled before it began
        return task

    def keep(self, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Have endless work done until it returns or is ended; after an exception it begins
        again."""
        self._endless.add(name)
        return self._start(name, self._again_and_again(name, work))

    def every(
        self, name: str, seconds: float, work: Callable[[], Awaitable[None]]
    ) -> asyncio.Task[None]:
        """Have work done now, and again `seconds` after each time that it was done."""

        async def turns() -> None:
            while True:
                await work()
                await self._sleep(seconds)

        return self.keep(name, turns)

    def attempt(self, name: str, work: Callable[[], object], **facts: object) -> bool:
        """Do something at once; whether that went without an exception."""
        self._failures.setdefault(name, 0)
        try:
            work()
        except Exception as error:  # noqa: BLE001 - logged and counted, and the caller is told
            self._failed(name, error, facts)
            return False
        return True

    async def end(self, *tasks: asyncio.Task[None] | None) -> None:
        """Cancel these and wait until they are over. None, or one that is over, is no error."""
        pending = {task for task in tasks if task is not None and not task.done()}
        for task in pending:
            task.cancel()
        if pending:
            _, pending = await asyncio.wait(pending, timeout=END_SECONDS)
        for task in pending:
            _log.error("a background task doesn't end", task=self._names.get(task))

    async def close(self) -> None:
        """End all that are left. Closing twice is no error."""
        await self.end(*self._names)

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._failures.setdefault(name, 0)
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._names[task] = name
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        del self._names[task]
        self._failing_until.pop(task, None)

    async def _once(
        self,
        name: str,
        work: Awaitable[None],
        on_failure: Callable[[], None] | None,
        facts: Mapping[str, object],
    ) -> None:
        failure = await _failure_of(work)
        if failure is not None:
            self._failed(name, failure, facts)
            if on_failure is not None:
                on_failure()

    async def _again_and_again(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.current_task()
        assert task is not None, "this is a coroutine of a task"
        pause, longest = AGAIN_SECONDS
        while True:
            began = self._clock()
            failure = await _failure_of(work())
            if failure is None:
                return
            self._failed(name, failure, {})
            if task.cancelling():
                return  # it was to end, and met this on its way
            if self._clock() - began >= STEADY_SECONDS:
                pause = AGAIN_SECONDS[0]
            self._failing_until[task] = float("inf")
            await self._sleep(pause)
            self._failing_until[task] = self._clock() + STEADY_SECONDS
            pause = min(2 * pause, longest)

    def _stray(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        error = context.get("exception") or RuntimeError(context["message"])
        self._failed("callback", error, {"message": context["message"]})

    def _failed(self, name: str, failure: BaseException, facts: Mapping[str, object]) -> None:
        self._failures[name] += 1
        now = self._clock()
        if now - self._logged_at.get(name, -LOG_SECONDS) >= LOG_SECONDS:
            self._logged_at[name] = now
            _log.error("a background task failed", task=name, exc_info=failure, **facts)


async def _failure_of(work: Awaitable[None]) -> BaseException | None:
    """The exception that work ended with. Raises CancelledError only where this task is cancelled:
    one that comes out of a future inside, which somebody else cancelled, is a failure like any
    other, and no reason to take the task for ended by its owner."""
    task = asyncio.current_task()
    try:
        await work
    except asyncio.CancelledError as cancelled:
        if task is None or task.cancelling():
            raise
        return cancelled
    except Exception as error:  # noqa: BLE001 - logged and counted by the caller
        return error
    return None
