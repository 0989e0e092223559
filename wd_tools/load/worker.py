"""One process of a load test: a job on standard input, progress and a result on standard output."""

import asyncio
import gc
import os
import resource
import signal
import sys
import time
from typing import BinaryIO

import uvloop

from wd_tools.load.job import Job, Progress, Result, job_decoder, json_line
from wd_tools.load.pool import StreamPool

# Seconds between two lines of progress.
PROGRESS_SECONDS = 0.5


class Meter:
    """The processor's time that this process took."""

    def __init__(self) -> None:
        self.busiest = 0.0
        self._cpu, self._at = self._now()

    def look(self) -> None:
        cpu, at = self._now()
        if at - self._at >= PROGRESS_SECONDS:
            self.busiest = max(self.busiest, (cpu - self._cpu) / (at - self._at))
            self._cpu, self._at = cpu, at

    def _now(self) -> tuple[float, float]:
        return time.process_time(), time.monotonic()


async def work(job: Job, orders: BinaryIO, out: BinaryIO) -> None:
    """Returns when all streams are over, or when `orders` ends: then the parent wants the result,
    or is gone."""
    pool = StreamPool(job, time.time, time.monotonic)
    gc.freeze()  # what is there stays: without it, collections take 3 % of the time of opening
    meter = Meter()
    asyncio.get_running_loop().add_reader(orders.fileno(), pool.end)
    reporting = asyncio.create_task(_report(pool, meter, out))
    try:
        await pool.run()
    finally:
        reporting.cancel()
        asyncio.get_running_loop().remove_reader(orders.fileno())
    _send(out, pool.progress())
    _send(out, _result(pool, meter))


async def _report(pool: StreamPool, meter: Meter, out: BinaryIO) -> None:
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        meter.look()
        _send(out, pool.progress())


def _result(pool: StreamPool, meter: Meter) -> Result:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Result(
        tally=pool.tally,
        user=used.ru_utime,
        system=used.ru_stime,
        memory=used.ru_maxrss * 1024,
        busiest=meter.busiest,
    )


def _send(out: BinaryIO, message: Progress | Result) -> None:
    out.write(json_line(message))
    out.flush()


def _allow_files() -> None:
    """As many files as the process may open without being root."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> int:
    # Ctrl-C is the parent's: it ends its processes and shows what they counted.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _allow_files()
    job = job_decoder.decode(sys.stdin.buffer.readline())
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work(job, sys.stdin.buffer, sys.stdout.buffer))
    except BrokenPipeError:
        # The parent is gone. The rest of the buffer goes to /dev/null, so that Python doesn't
        # complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
