import gzip
import zlib
from random import Random

import pytest
from chunks import unchunked
from hypothesis import given
from hypothesis import strategies as st

from wd_server.events import sse
from wd_server.streaming import compression
from wd_server.streaming.compression import HEADER, STORED_BYTES, Frames, Gzip, deflated, stored
from wd_server.streaming.framing import LAST_CHUNK, chunk, content

# More than deflate's window of 32 KB, so that a reference across pieces would find something.
PAGE = sse.frame("trades", b'{"trades":[%b]}' % b",".join([b'{"side":"buy","amount":1.5}'] * 2000))
TRADE = sse.frame("trade", b'{"side":"sell","amount":2.5,"token_in":{"amount":2.5}}', "1-2")
BEAT = sse.frame("heartbeat", b'{"timestamp":1700000000}')

pieces = st.lists(
    st.tuples(st.booleans(), st.binary(max_size=300) | st.sampled_from([PAGE, TRADE, BEAT])),
    max_size=20,
)


def joined(*parts: bytes | Frames) -> bytes:
    """A whole stream: bytes are for this client alone."""
    end = Gzip()
    body = [end.shared(part) if isinstance(part, Frames) else end.private(part) for part in parts]
    return unchunked(b"".join([chunk(HEADER), *body, end.end(), LAST_CHUNK]))


@given(pieces)
def test_any_pieces_in_any_order_are_one_gzip_file(parts: list[tuple[bool, bytes]]) -> None:
    stream = joined(*(Frames(data) if shared else data for shared, data in parts))
    assert gzip.decompress(stream) == b"".join(data for _, data in parts)


@given(pieces, pieces)
def test_one_who_came_later_decodes_the_same_pieces(
    missed: list[tuple[bool, bytes]], seen: list[tuple[bool, bytes]]
) -> None:
    everything = [Frames(data) for _, data in missed + seen]
    joined(*everything)
    late = everything[len(missed) :]
    assert gzip.decompress(joined(*late)) == b"".join(frames.plain for frames in late)


@given(pieces)
def test_each_piece_is_decoded_whole_before_the_next_is_there(
    parts: list[tuple[bool, bytes]],
) -> None:
    end = Gzip()
    decoder = zlib.decompressobj(wbits=31)
    assert decoder.decompress(HEADER) == b""
    for shared, data in parts:
        piece = end.shared(Frames(data)) if shared else end.private(data)
        assert decoder.decompress(content(piece)) == data
    assert not decoder.eof
    assert decoder.decompress(content(end.end())) == b""
    assert decoder.eof
    assert decoder.unused_data == b""


def test_a_stream_that_breaks_off_has_given_every_event_before() -> None:
    whole = joined(Frames(TRADE), Frames(PAGE), BEAT)
    broken = whole[: -len(compression.LAST_BLOCK) - 8]
    assert zlib.decompressobj(wbits=31).decompress(broken) == TRADE + PAGE + BEAT


@pytest.mark.parametrize("wrong", [-8, -1])
def test_decoders_check_what_a_stream_ends_with(wrong: int) -> None:
    stream = bytearray(joined(Frames(TRADE), BEAT))
    stream[wrong] ^= 1
    with pytest.raises((zlib.error, gzip.BadGzipFile)):
        gzip.decompress(stream)


def test_the_size_a_stream_ends_with_is_counted_modulo_four_gigabytes() -> None:
    end = Gzip()
    end._size = 2**32 - 1
    end.private(b"ab")
    assert content(end.end())[-4:] == b"\1\0\0\0"


def test_frames_are_deflated_once_and_only_when_somebody_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bytes] = []

    def counted(data: bytes) -> bytes:
        asked.append(data)
        return deflated(data)

    monkeypatch.setattr(compression, "deflated", counted)
    frames = Frames(TRADE)
    assert frames.plain == TRADE
    assert asked == []
    assert Gzip().shared(frames) is Gzip().shared(frames)
    assert asked == [TRADE]


def test_pages_become_much_smaller_and_a_heartbeat_hardly_larger() -> None:
    assert len(deflated(PAGE)) < len(PAGE) / 10
    assert len(deflated(BEAT)) <= len(BEAT) + 5


@pytest.mark.parametrize("size", [0, 1, STORED_BYTES - 1, STORED_BYTES, STORED_BYTES + 1, 200_000])
def test_stored_bytes_are_themselves_and_five_more_a_block(size: int) -> None:
    data = Random(size).randbytes(size)
    blocks = -(-size // STORED_BYTES)
    assert len(stored(data)) == size + 5 * blocks
    assert zlib.decompressobj(wbits=compression.RAW).decompress(stored(data)) == data
