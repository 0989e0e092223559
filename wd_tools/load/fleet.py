"""The processes of a load test: started, watched, ended, and what they counted collected."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from typing import NamedTuple

from wd_tools.load.job import Job, Progress, Result, json_line, message_decoder

# Bytes of a line from a process: its result names the position of every wallet's streams.
LINE_BYTES = 256 * 1024 * 1024
# Seconds for a process to close its streams and tell its result.
RESULT_SECONDS = 60

NOTHING_YET = Progress(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


class ProcessDied(Exception):
    """A process of the test ended without a result; what it had to say is on standard error."""


class Standing(NamedTuple):
    """How the whole test stands, `seconds` after its start."""

    seconds: float
    progress: Progress


class Outcome(NamedTuple):
    """`open_after`: seconds until all streams were open; None if they never were all. `seconds`:
    of the whole test."""

    results: Sequence[Result]
    open_after: float | None
    seconds: float


class Fleet:
    """`timer` gives seconds that no one sets back; `notify` is told often how things stand."""

    def __init__(
        self,
        jobs: Sequence[Job],
        timer: Callable[[], float],
        notify: Callable[[Standing], None],
    ) -> None:
        self._jobs = jobs
        self._timer = timer
        self._notify = notify
        self._streams = sum(len(job.streams) for job in jobs)
        self._progress = [NOTHING_YET] * len(jobs)
        self._results: list[Result] = []
        self._started = 0.0
        self._open_after: float | None = None
        self._settled = asyncio.Event()  # every stream is open, or will never be
        self._ended = asyncio.Event()

    def end(self) -> None:
        """Now, with what there is."""
        self._settled.set()
        self._ended.set()

    async def run(self, opening: float, hold: float) -> Outcome:
        """`opening`: seconds to wait for all streams; `hold`: seconds from then on, unless all
        are over before. Raises ProcessDied."""
        self._started = self._timer()
        processes = [await self._start(job) for job in self._jobs]
        readers = [
            asyncio.create_task(self._read(number, process))
            for number, process in enumerate(processes)
        ]
        everyone = asyncio.gather(*readers)
        everyone.add_done_callback(lambda _: self.end())
        try:
            await _wait(self._settled, opening)
            await _wait(self._ended, hold)
            for process in processes:
                _stdin(process).close()
            async with asyncio.timeout(RESULT_SECONDS):
                await everyone
        except TimeoutError:
            raise ProcessDied("a process of the test did not end in time") from None
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
                await process.wait()
        return Outcome(self._results, self._open_after, self._timer() - self._started)

    async def _start(self, job: Job) -> Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wd_tools.load.worker"),
            stdin=PIPE,
            stdout=PIPE,
            limit=LINE_BYTES,
            start_new_session=True,  # Ctrl-C is for the parent alone
        )
        _stdin(process).write(json_line(job))
        return process

    async def _read(self, number: int, process: Process) -> None:
        assert process.stdout is not None
        async for text in process.stdout:
            message = message_decoder.decode(text)
            if isinstance(message, Result):
                self._results.append(message)
                await process.wait()
                return
            self._progress[number] = message
            self._look()
        raise ProcessDied(f"a process of the test ended with {await process.wait()}")

    def _look(self) -> None:
        seconds = self._timer() - self._started
        progress = Progress(
            *(sum(numbers) for numbers in zip(*map(_numbers, self._progress), strict=True))
        )
        if progress.opened + progress.never >= self._streams and not self._settled.is_set():
            if not progress.never:
                self._open_after = seconds
            self._settled.set()
        self._notify(Standing(seconds, progress))


def _numbers(progress: Progress) -> tuple[int, ...]:
    return tuple(getattr(progress, name) for name in progress.__struct_fields__)


def _stdin(process: Process) -> asyncio.StreamWriter:
    assert process.stdin is not None
    return process.stdin


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
