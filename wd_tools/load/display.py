"""How a test stands while it runs: a line, rewritten on a terminal, else one now and then."""

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from wd_tools.load.fleet import Standing

# Seconds between two lines where they can't be rewritten.
LINE_SECONDS = 5.0
# Seconds over which the rate of events is told.
RATE_SECONDS = 1.0


class Display(Protocol):
    """Entered while the test runs."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...
    def show(self, standing: Standing) -> None: ...


class Silence:
    """`--json`: nothing but the report."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to clean up."""

    def show(self, standing: Standing) -> None:
        """Nothing."""


class Lines(Silence):
    """A line every few seconds."""

    def __init__(self, streams: int, write: Callable[[str], object]) -> None:
        self._words = _Words(streams)
        self._write = write
        self._next = 0.0

    def show(self, standing: Standing) -> None:
        text = self._words.of(standing)
        if standing.seconds >= self._next:
            self._next = standing.seconds + LINE_SECONDS
            self._write(f"{text}\n")


class Rewritten:
    """One line of a terminal."""

    def __init__(self, streams: int, console: Console) -> None:
        self._words = _Words(streams)
        self._live = Live(console=console, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, standing: Standing) -> None:
        self._live.update(Text(self._words.of(standing)))


class _Words:
    def __init__(self, streams: int) -> None:
        self._streams = streams
        self._rate = 0.0
        self._seconds, self._events = 0.0, 0

    def of(self, standing: Standing) -> str:
        seconds, now = standing
        passed = seconds - self._seconds
        if passed >= RATE_SECONDS:
            self._rate = (now.events - self._events) / passed
            self._seconds, self._events = seconds, now.events
        parts = [
            f"{seconds:6.1f} s",
            f"{now.open:,} of {self._streams:,} open",
            f"{now.events:,} events ({self._rate:,.0f}/s)",
        ]
        for count, what in (
            (now.over, "over"),
            (now.resumes, "resumed"),
            (now.refused, "refused"),
            (now.lost, "LOST"),
            (now.duplicates, "TWICE"),
        ):
            if count:
                parts.append(f"{count:,} {what}")
        return ", ".join(parts)
