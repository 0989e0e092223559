"""A server that logs for the eye: `LOG_FORMAT=text`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processes import Server


class TextServer(Server):
    def wait_until_logged(self, event: str) -> None:
        for line in self._new_lines(self._log_start):
            if f": {event}" in line:
                return


@contextmanager
def text_server(data_dir: Path, upstream: str | None, **settings: object) -> Iterator[TextServer]:
    started = TextServer(data_dir, upstream, LOG_FORMAT="text", **settings)
    started.start()
    try:
        yield started
    finally:
        if started.process is not None and started.process.poll() is None:
            started.kill()
