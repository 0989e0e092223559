"""What is sent of an event: a reader that keeps to the standard finds this event and no other."""

import json
from typing import Any, NamedTuple

import msgspec
from budget import examples
from hypothesis import example, given
from hypothesis import strategies as st
from mutation import JSON

from wd_server.errors import WalletDoctorError
from wd_server.events import encoding, sse

TEXTS = st.text(max_size=60) | st.sampled_from(
    (
        "\n\nevent: forged\ndata: 1\n\n",
        "\rid: 9\r\r",
        "\u2028",
        "\x85",
        "\0",
        "\ufeff",
        "data: ",
        ":",
    )
)


class Received(NamedTuple):
    name: str
    data: str
    last_event_id: str


def _received(stream: bytes) -> tuple[list[Received], int | None]:
    """WHATWG HTML, sections 9.2.5 and 9.2.6, word by word; also the time to reconnect."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    lines.pop()  # behind the last line end: no line, and discarded
    events: list[Received] = []
    name, data, last_event_id, retry = "", "", "", None
    for line in lines:
        if not line:
            if data:
                events.append(Received(name or "message", data.removesuffix("\n"), last_event_id))
            name = data = ""
            continue
        field, colon, value = line.partition(":")
        value = value.removeprefix(" ") if colon else ""
        if field == "event":
            name = value
        elif field == "data":
            data += value + "\n"
        elif field == "id" and "\0" not in value:
            last_event_id = value
        elif field == "retry" and value.isascii() and value.isdigit():
            retry = int(value)
    assert not data, "an event that isn't dispatched"
    return events, retry


@examples(750)
@given(TEXTS.filter(bool), st.binary(max_size=60) | JSON.map(encoding.encode), st.none() | TEXTS)
@example("trade", "\u2028".encode(), None)
@example("trade", b" leading", "1-1")
@example("trade", b"", None)
def test_a_frame_is_one_event_with_its_data_or_refused(
    name: str, data: bytes, event_id: str | None
) -> None:
    try:
        frame = sse.frame(name, data, event_id)
    except ValueError:  # UnicodeEncodeError is one
        return
    events, _ = _received(frame + sse.frame("next", b"{}"))
    first, following = events
    assert first == Received(name, data.decode("utf-8", "replace"), event_id or "")
    assert following.name == "next"


@examples(375)
@given(TEXTS, TEXTS, st.none() | st.floats(0, 1e6), st.integers(0, 2**40))
def test_an_error_is_one_event_whatever_its_sentence_says(
    message: str, code: str, retry_after: float | None, now: int
) -> None:
    error = WalletDoctorError(message, retry_after=retry_after)
    try:
        frame = encoding.error_frame(error, now)
    except UnicodeEncodeError:
        return
    (received,), retry = _received(frame)
    data = json.loads(received.data)
    assert (received.name, data["error"], data["timestamp"]) == ("error", message, now)
    assert retry is not None
    assert retry >= 0


@examples(375)
@given(
    st.dictionaries(st.text(max_size=8), JSON, min_size=1, max_size=4),
    st.from_regex(r"[1-9A-HJ-NP-Za-km-z]{32,44}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9_-]{1,60}", fullmatch=True),
)
@example({"a": "\ndata: {"}, "1" * 32, "1-1")
@example({"wallet": "another"}, "1" * 32, "1-1")
def test_an_event_that_is_given_a_wallet_and_an_id_keeps_its_data(
    data: dict[str, Any], wallet: str, event_id: str
) -> None:
    frame = sse.frame("trade", msgspec.json.encode(data))
    (received,), _ = _received(sse.identified(event_id, encoding.named(frame, wallet)))
    assert (received.name, received.last_event_id) == ("trade", event_id)
    assert json.loads(received.data) == {"wallet": wallet} | data
    assert received.data.startswith(f'{{"wallet":"{wallet}",')


@examples(150)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8))
def test_events_in_a_row_are_so_many_events(pairs: list[tuple[str, str]]) -> None:
    frames = b"".join(
        encoding.gap_frame("unknown_id", one, other) + sse.retry(5) for one, other in pairs
    )
    events, _ = _received(frames)
    assert [
        (json.loads(each.data)["from"], json.loads(each.data)["to"]) for each in events
    ] == pairs
