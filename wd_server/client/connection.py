"""One connection of a stream: a request, a head, and events as they come."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import urlsplit

from wd_server.client.errors import BadAnswer, StreamError, Unreachable, refused
from wd_server.client.frame import END, Fields, cut, fields
from wd_server.client.response import HEAD_BYTES, BadResponse, Body, Head, body_of, read_head

# Seconds until the connection stands, and then until the answer's head is there. A server that is
# restarted keeps connections waiting.
ANSWER_SECONDS = 30.0
# Bytes of one event: a batch of 500 trades, the largest there is, has about 400 KB.
EVENT_BYTES = 8 * 1024 * 1024
# Bytes of an error's text that are read; the server's have a few hundred.
PROBLEM_BYTES = 64 * 1024
_READ_BYTES = 64 * 1024

OK, NO_CONTENT = 200, 204


class Target(NamedTuple):
    """`tls` None: without. `authority` is what stands in `Host`, `path` the URL's, without `/` at
    its end."""

    host: str
    port: int
    authority: str
    path: str
    tls: ssl.SSLContext | None


def target_of(url: str, tls: ssl.SSLContext | None) -> Target:
    """`tls` None: the system's certificates. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not an http or https URL")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("the URL can't carry a query or a password")
    secure = parts.scheme == "https"
    context = (tls or ssl.create_default_context()) if secure else None
    port = parts.port or (443 if secure else 80)
    return Target(parts.hostname, port, parts.netloc, parts.path.rstrip("/"), context)


class Connection:
    """A stream that was answered. Close it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: Body | None
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._body = body
        self._rest = b""
        self._found: list[Fields] = []

    def close(self) -> None:
        """At once: a farewell by TLS would have to be waited for, and nobody needs it."""
        self._writer.transport.abort()

    async def read(self, silence: float) -> list[Fields]:
        """The events that came together; none at the stream's end. Raises Unreachable when the
        connection breaks or nothing comes for `silence` seconds, BadAnswer."""
        while not self._found and not (self._body is not None and self._body.ended):
            try:
                async with asyncio.timeout(silence):
                    data = await self._reader.read(_READ_BYTES)
            except TimeoutError:
                raise Unreachable(f"The stream was silent for {silence:.0f} seconds.") from None
            except OSError as error:
                raise Unreachable(f"The connection broke ({error}).") from error
            if not data:
                break
            self.feed(data)
        found, self._found = self._found, []
        return found

    def feed(self, data: bytes) -> None:
        """Bytes of the response after its head. Raises BadAnswer."""
        if self._body is not None:
            try:
                data = self._body.feed(data)
            except BadResponse as error:
                raise BadAnswer(f"The answer can't be read: {error}.") from None
        whole, self._rest = cut(self._rest + data)
        if len(self._rest) > EVENT_BYTES:
            raise BadAnswer("An event does not end.")
        self._found += [fields(frame) for frame in whole.split(END) if frame]


async def connect(target: Target, path: str, headers: Mapping[str, str]) -> Connection | None:
    """None for 204: there is nothing more. Raises Unreachable, BadAnswer, Refused."""
    writer = None
    answered = None
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(target.host, target.port, ssl=target.tls)
            lines = [f"GET {target.path}{path} HTTP/1.1", f"Host: {target.authority}"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            writer.write("\r\n".join([*lines, "", ""]).encode())
            answered = await _answer(reader, writer)
            return answered
    except TimeoutError:
        raise Unreachable(f"{target.authority} doesn't answer.") from None
    except ssl.SSLCertVerificationError as error:
        raise BadAnswer(f"{target.authority} isn't trusted ({error.verify_message}).") from error
    except OSError as error:
        raise Unreachable(f"{target.authority} can't be reached ({error}).") from error
    except BadResponse as error:
        raise BadAnswer(f"The answer can't be read: {error}.") from None
    finally:
        if answered is None and writer is not None:
            writer.transport.abort()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Connection | None:
    data = b""
    while (read := read_head(data)) is None:
        more = await reader.read(HEAD_BYTES)
        if not more:
            raise Unreachable("The connection ended before the answer.")
        data += more
    head, rest = read
    if head.status == NO_CONTENT:
        return None
    if head.status != OK:
        raise await _refusal(head, rest, reader)
    if not head.headers.get("content-type", "").startswith("text/event-stream"):
        raise BadAnswer("The answer is no event stream: is this the URL of a wd-server?")
    connection = Connection(reader, writer, body_of(head))
    connection.feed(rest)
    return connection


async def _refusal(head: Head, text: bytes, reader: asyncio.StreamReader) -> StreamError:
    """What an answer without a stream means. Raises BadResponse."""
    body = body_of(head)
    if body is not None:
        text = body.feed(text)
    while len(text) < PROBLEM_BYTES and not (body is not None and body.ended):
        more = await reader.read(_READ_BYTES)
        if not more:
            break
        text += more if body is None else body.feed(more)
    problem = {}
    with suppress(ValueError, RecursionError):
        problem = json.loads(text)
    told = head.headers.get("retry-after", "")
    is_problem = isinstance(problem, dict)
    code = problem.get("code") if is_problem else None
    detail = problem.get("detail") if is_problem else None
    return refused(
        str(detail or f"The server answered with status {head.status}."),
        str(code or f"HTTP_{head.status}"),
        status=head.status,
        retry_after=float(told) if told.isascii() and told.isdigit() else None,
    )
