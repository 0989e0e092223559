import pytest
from chunks import Chunks, unchunked
from hypothesis import given
from hypothesis import strategies as st

from wd_server.streaming.framing import LAST_CHUNK, chunk, content

datas = st.binary(max_size=300) | st.just(b"\r\n" * 40_000)


@given(st.lists(datas))
def test_chunks_in_a_row_mean_what_was_put_into_them(parts: list[bytes]) -> None:
    chunks = [chunk(part) for part in parts]
    assert unchunked(b"".join([*chunks, LAST_CHUNK])) == b"".join(parts)
    assert [content(each) for each in chunks] == parts


def test_nothing_makes_no_chunk_since_an_empty_one_would_be_the_last() -> None:
    assert chunk(b"") == b""
    assert chunk(b"a") == b"1\r\na\r\n"


@given(st.lists(datas, min_size=1), st.data())
def test_whatever_is_missing_at_the_end_is_told_from_an_end(
    parts: list[bytes], data: st.DataObject
) -> None:
    body = b"".join([*map(chunk, parts), LAST_CHUNK])
    chunks = Chunks()
    chunks.feed(body[: data.draw(st.integers(0, len(body) - 1))])
    assert not chunks.ended


@pytest.mark.parametrize(
    "wrong", [b"event: trade\n", b"A\r\n" + b"a" * 10, b"1;x\r\na\r\n", b"1\r\nab\r\n"]
)
def test_what_is_no_chunk_of_ours_fails_a_test(wrong: bytes) -> None:
    with pytest.raises(AssertionError):
        Chunks().feed(wrong)


def test_nothing_may_stand_behind_the_last_chunk() -> None:
    with pytest.raises(AssertionError):
        Chunks().feed(LAST_CHUNK + chunk(b"a"))
