"""A process's life: it listens, serves, and on a signal says goodbye."""

import asyncio
import gc
import resource
import signal

import structlog
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from wd_server import __version__
from wd_server.app import App
from wd_server.listener import BACKLOG, Listener
from wd_server.streaming.client import prepare_listener

# Bytes of headers that are read at all; handlers refuse with an answer what is over their limit.
HEADER_BYTES_READ = 256 * 1024
# Bytes of a request's body: no endpoint takes more than a few fields.
BODY_BYTES = 64 * 1024
# Seconds a client may take to send its headers, and a kept connection may be silent.
REQUEST_SECONDS = 10

# Containers that are made before the garbage collector looks at the young ones, and how rarely it
# looks at the older. With Python's 700 it takes a fifth of the time of reading a wallet, for
# nothing: what is made there is freed by its count.
GARBAGE_THRESHOLDS = (50_000, 20, 50)

_log = structlog.get_logger("server")


class Server:
    """Listens for an App. `port` is the one listened on, once `start` is done."""

    def __init__(self, app: App) -> None:
        self._app = app
        application = app.application()
        self._http = HTTPServer(
            application,
            max_header_size=HEADER_BYTES_READ,
            max_body_size=BODY_BYTES,
            idle_connection_timeout=REQUEST_SECONDS,
            body_timeout=REQUEST_SECONDS,
        )
        self._listener = Listener(
            application,
            self._http,
            silent_seconds=REQUEST_SECONDS,
            files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            streams=app.open_streams,
            refusal=app.refusal,
        )
        self.port = 0

    async def start(self) -> None:
        """Raises OSError if the address can't be listened on, StoreUnavailable."""
        settings = self._app.settings
        sockets = bind_sockets(settings.port, address=settings.host, backlog=BACKLOG)
        for sock in sockets:
            prepare_listener(sock)
        self.port = sockets[0].getsockname()[1]
        try:
            await self._app.open()
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        _quieten_garbage_collector()
        await self._listener.listen(sockets)
        _log.info("listening", host=settings.host, port=self.port, version=__version__)

    async def stop(self, drain_seconds: float) -> None:
        """Send the streams away within `drain_seconds`, then close everything. Until then
        newcomers are told that this server is draining."""
        await self._app.registry.drain(drain_seconds)
        self._listener.close()
        await self._http.close_all_connections()
        await self._app.close()
        _log.info("stopped")

    async def run_until_signal(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain; a second signal ends that at once."""
        loop = asyncio.get_running_loop()
        first, second = asyncio.Event(), asyncio.Event()

        def on_signal() -> None:
            (second if first.is_set() else first).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        await first.wait()
        _log.info("stopping", seconds=self._app.settings.drain_seconds)
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
