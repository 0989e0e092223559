"""One connection of a stream: a request, a head, and events as they come."""

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from wd_client.errors import BadAnswer, NotAllowed, StreamError, Unreachable, refused
from wd_client.frame import EventTooLong, Fields, FrameReader
from wd_client.response import HEAD_BYTES, OK, BadResponse, Body, Head, body_of, read_head
from wd_client.target import REDIRECTS, Target, sent_on

# Seconds until the answer's head is there, redirects included. A server that is restarted keeps
# connections waiting.
ANSWER_SECONDS = 30.0
# Bytes of an error's text that are read; the server's have a few hundred.
PROBLEM_BYTES = 64 * 1024
_READ_BYTES = 64 * 1024

NO_CONTENT = 204
# Of the server's compressed streams none is asked for; what needs no decoding may be named so.
PLAIN = frozenset({"", "identity"})
EVENT_STREAM = "text/event-stream"

Tls = Callable[[], ssl.SSLContext]


class _Moved(NamedTuple):
    """An answer that sends its client elsewhere; `location` None: without a word where to."""

    location: str | None


class Connection:
    """A stream that was answered. Close it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: Body | None
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._body = body
        self._frames = FrameReader()
        self._found: list[Fields] = []

    def close(self) -> None:
        """At once: a farewell by TLS would have to be waited for, and nobody needs it."""
        self._writer.transport.abort()

    async def read(self, silence: float) -> list[Fields]:
        """The events that came together; none at the stream's end. Raises Unreachable when the
        connection breaks, ends before the stream does, or is silent for `silence` seconds; and
        BadAnswer."""
        while not self._found and not (self._body is not None and self._body.ended):
            try:
                async with asyncio.timeout(silence):
                    data = await self._reader.read(_READ_BYTES)
            except TimeoutError:
                raise Unreachable(f"The stream was silent for {silence:.0f} seconds.") from None
            except OSError as error:
                raise Unreachable(f"The connection broke ({error}).") from error
            if not data and self._body is not None:
                raise Unreachable("The connection broke off before the stream's end.")
            if not data:  # without framing, nobody can tell an end from a cut
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
        try:
            self._found += self._frames.feed(data)
        except EventTooLong:
            raise BadAnswer("An event does not end.") from None


async def connect(target: Target, tls: Tls, headers: Mapping[str, str]) -> Connection | None:
    """None for 204: there is nothing more. `tls` says who is trusted. Raises Unreachable,
    BadAnswer, Refused.

    Redirects are followed. A key goes with them only to where it was meant for."""
    way = [target]
    sent = dict(headers)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            while isinstance(answer := await _ask(way[-1], tls, sent), _Moved):
                way.append(sent_on(way, answer.location))
                if not way[-2].may_hand_on_to(way[-1]):
                    sent.pop("Authorization", None)
            return answer
    except TimeoutError:
        raise Unreachable(f"{way[-1].authority} doesn't answer.") from None
    except NotAllowed as refusal:
        if len(sent) == len(headers):
            raise
        raise refused(
            f"{refusal} It wasn't shown the key: that was for {target.origin}, which redirects to"
            f" {way[-1].origin}. If you trust that one, name it as the URL.",
            refusal.code,
            status=refusal.status,
        ) from None


async def _ask(target: Target, tls: Tls, headers: Mapping[str, str]) -> Connection | _Moved | None:
    writer = None
    answered = None
    context = tls() if target.is_secure else None
    try:
        reader, writer = await asyncio.open_connection(target.host, target.port, ssl=context)
        lines = [f"GET {target.path} HTTP/1.1", f"Host: {target.authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        answered = await _answer(target, reader, writer)
        return answered
    except ssl.SSLCertVerificationError as error:
        raise BadAnswer(f"{target.authority} isn't trusted ({error.verify_message}).") from error
    except (OSError, UnicodeError) as error:  # UnicodeError: no name that could be looked up
        raise Unreachable(f"{target.authority} can't be reached ({error}).") from error
    except BadResponse as error:
        raise BadAnswer(f"The answer can't be read: {error}.") from None
    finally:
        if writer is not None and not isinstance(answered, Connection):
            writer.transport.abort()


async def _answer(
    target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Connection | _Moved | None:
    data = b""
    while (read := read_head(data)) is None:
        more = await reader.read(HEAD_BYTES)
        if not more:
            raise Unreachable("The connection ended before the answer.")
        data += more
    head, rest = read
    if head.status == NO_CONTENT:
        return None
    if head.status in REDIRECTS:
        return _Moved(head.headers.get("location"))
    if head.status != OK:
        raise await _refusal(head, rest, reader)
    media_type = head.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != EVENT_STREAM:
        raise BadAnswer(
            f"What {target.origin} answers is no event stream: is this the URL of a wd-server?"
        )
    coding = head.headers.get("content-encoding", "").lower()
    if coding not in PLAIN:
        raise BadAnswer(
            f"{target.origin} compressed the stream ({coding!r}), which this client didn't ask for:"
            " does a proxy before it ignore Accept-Encoding?"
        )
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
