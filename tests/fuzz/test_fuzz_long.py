"""Long texts that repeat themselves: the worst that can be sent to who reads by trying ways.

They are longer than any that a head has room for, so that time by the square of the length shows.
"""

from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_network

import pytest
from budget import examples
from hypothesis import given
from hypothesis import strategies as st
from tornado.httputil import HTTPHeaders, HTTPInputError, HTTPServerRequest, RequestStartLine

from handlers.negotiation import accepted_encoding, takes_event_stream
from handlers.parameters import last_id, page_query, stream_query
from wd_server.access.addresses import client_address
from wd_server.access.credentials import presented
from wd_server.access.keys import SigningKeys
from wd_server.errors import WalletDoctorError
from wd_server.events.ids import EventId
from wd_server.http_reader import Reader, RequestRefused
from wd_server.logs import Scrubber
from wd_server.secret import Secret
from wd_server.streaming.bundle_id import Bookmarks, Seal

CHARACTERS = 60_000
PIECES = (
    *(" ", "\t", ":", ";", ",", ".", "/", "-", "_", "=", "&", "%", "%41", '"', "\\", "@", "[", "0"),
    *("1", "9", "a", "z", "*", "a:", "1:", "1.", "a b", ";q=0.5", "; a=", "eyJ", "eyJa.", "wd_"),
    *("://", "://a:", "bearer ", "Basic ", "api_key=", "authorization:", "access-token", "\xe4"),
)
texts = st.builds(
    lambda beginning, pieces, end: (
        beginning + ("".join(pieces) * CHARACTERS)[: CHARACTERS // len(pieces)] + end
    ),
    st.sampled_from(("", "a", "1-", "http://", "wd_", "Bearer ", "[")),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=3),
    st.sampled_from(("", "\x01", "!", "]", ":1", "-1", "=")),
)

SIGNER = SigningKeys(Secret("s" * 32))
SCRUBBER = Scrubber([Secret("a secret that is known")])
TRUSTED = (ip_network("127.0.0.0/8"),)


def _request(target: str, host: str = "x") -> None:
    headers = HTTPHeaders()
    headers["Host"] = host
    with suppress(HTTPInputError, ValueError):
        line = RequestStartLine("GET", target, "HTTP/1.1")
        HTTPServerRequest(start_line=line, headers=headers)


def _head(text: str) -> None:
    for start in ("GET /", "GET / HTTP/1.1\r\nX: ", "GET / HTTP/1.1\r\n"):
        reader = Reader()
        with suppress(RequestRefused):
            reader.add((start + text).encode("latin-1"))
            reader.head()


READERS: dict[str, Callable[[str], object]] = {
    "a head": _head,
    "a path": lambda text: _request("/" + text),
    "a query": lambda text: _request("/?" + text),
    "a host": lambda text: _request("/", text),
    "Accept": takes_event_stream,
    "Accept-Encoding": accepted_encoding,
    "Authorization": lambda text: presented(authorization=[text]),
    "X-API-Key": lambda text: presented(x_api_key=[text]),
    "X-Forwarded-For": lambda text: client_address("127.0.0.1", text, TRUSTED),
    "Last-Event-ID": lambda text: last_id({}, text, EventId.parse),
    "lastEventId": lambda text: last_id({"lastEventId": text}, None, EventId.parse),
    "heartbeat": lambda text: stream_query({"heartbeat": text}, 0),
    "an id of several wallets": lambda text: Bookmarks.parse(text, Seal(SIGNER, "key:wd_mine")),
    "what is logged": SCRUBBER.text,
    **{
        name: lambda text, name=name: stream_query({name: text}, 0)  # type: ignore[misc]
        for name in ("batch", "follow", "mint", "min_usd", "side", "since", "skip_pricing")
    },
    "limit": lambda text: page_query({"limit": text}),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@examples(30)
@given(text=texts)
def test_a_long_text_takes_time_by_its_length(read: Callable[[str], object], text: str) -> None:
    with suppress(WalletDoctorError):
        read(text)
