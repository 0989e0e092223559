"""A process's life: it listens, serves, and on a signal says goodbye."""

import asyncio
import gc
import resource
import signal

import structlog
from tornado.netutil import bind_sockets

from wd_server import __version__
from wd_server.app import App
from wd_server.listener import BACKLOG, Listener
from wd_server.streaming.connection import prepare_listener
from wd_server.supervisor import Supervisor

# Seconds at the end for those who connected before the socket was left to the next process: what
# they ask is on its way, and the answer is short.
LAST_ANSWERS_SECONDS = 1

# Containers that are made before the garbage collector looks at the young ones, and how rarely it
# looks at the older. With Python's 700 it takes a fifth of the time of reading a wallet, for
# nothing: what is made there is freed by its count.
GARBAGE_THRESHOLDS = (50_000, 20, 50)

_log = structlog.get_logger("server")


class Server:
    """Listens for an App. `port` is the one listened on, once `start` is done. Without a
    `supervisor` nobody is told how it is."""

    def __init__(self, app: App, supervisor: Supervisor | None = None) -> None:
        self._app = app
        self._supervisor = supervisor or Supervisor({}, 0)
        self._listener = Listener(
            app.application(),
            files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            streams=app.open_streams,
            refusal=app.refusal,
        )
        self.port = 0

    async def start(self) -> None:
        """Listens on the supervisor's socket, or on HOST and PORT if it has none. Raises OSError if
        that can't be done, StoreUnavailable."""
        settings = self._app.settings
        sockets = self._supervisor.take_sockets() or bind_sockets(
            settings.port, address=settings.host, backlog=BACKLOG
        )
        try:
            for sock in sockets:
                prepare_listener(sock)
            host, self.port = sockets[0].getsockname()[:2]
            await self._app.open()
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        _quieten_garbage_collector()
        await self._listener.listen(sockets)
        _log.info("listening", host=host, port=self.port, version=__version__)
        self._supervisor.ready(self._status)

    async def stop(self, drain_seconds: float) -> None:
        """Send the streams away within `drain_seconds`, then close everything. Until then
        newcomers are told that this server is draining; where the socket outlives this process,
        they wait there for the next one, and only who had connected before is still answered."""
        if self._supervisor.hands_over:
            self._listener.stop_accepting()
        self._supervisor.stopping()
        _log.info("stopping", seconds=drain_seconds)
        await self._app.registry.drain(drain_seconds)
        if self._supervisor.hands_over:
            await self._listener.settle(LAST_ANSWERS_SECONDS)
        self._listener.close()
        await self._app.close()
        self._supervisor.close()
        _log.info("stopped")

    def _status(self) -> str:
        """A line for `systemctl status`."""
        registry = self._app.registry
        streams = registry.counts.active
        return f"Draining, {streams} streams left." if registry.draining else f"{streams} streams."

    async def run_until_signal(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain; a second signal ends that at once."""
        loop = asyncio.get_running_loop()
        first, second = asyncio.Event(), asyncio.Event()

        def on_signal() -> None:
            (second if first.is_set() else first).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        await first.wait()
        stopping = loop.create_task(self.stop(self._app.settings.drain_seconds))
        hurry = loop.create_task(second.wait())
        await asyncio.wait((stopping, hurry), return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not stopping.done():
            stopping.cancel()
            await asyncio.wait((stopping,))
            await self._app.close()
        else:
            stopping.result()


def _quieten_garbage_collector() -> None:
    """Leave out what lives as long as the process: looking at it all takes 15 ms of the loop."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
