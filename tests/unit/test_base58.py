"""Base58: its texts, and how many bytes they stand for."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wd_server import base58
from wd_tools.simulator.base58 import encode

# Seconds of CPU for a megabyte of text; a decoder, which takes quadratic time, needs minutes.
MEGABYTE_SECONDS = 1.0

odd_ends = st.sampled_from([b"", b"\0", b"\xff", b"\0" * 64, b"\xff" * 64])


@given(odd_ends, st.binary(max_size=64))
def test_a_text_stands_for_as_many_bytes_as_were_written(start: bytes, end: bytes) -> None:
    data = (start + end)[:64]
    text = encode(data)
    assert base58.decode(text) == data
    assert [size for size in range(65) if base58.is_size(text, size)] == [len(data)]


@pytest.mark.parametrize("size", [32, 64])
def test_the_numbers_around_a_size_are_told_apart(size: int) -> None:
    largest, least = b"\xff" * size, b"\x01" + bytes(size - 1)
    assert base58.is_size(encode(largest), size)
    assert base58.is_size(encode(least), size)
    assert not base58.is_size(encode(b"\x01" + bytes(size)), size)
    assert not base58.is_size(encode(largest[1:]), size)


@pytest.mark.parametrize("wrong", ["0", "O", "I", "l", "=", "\0", "\x1b", "é", "\u202e", "-", " "])
@pytest.mark.parametrize("at", [0, 1, 20, 43])
def test_a_letter_that_base58_does_not_have_is_none_wherever_it_stands(wrong: str, at: int) -> None:
    text = encode(b"\x77" * 32)
    assert not base58.is_size(text[:at] + wrong + text[at + 1 :], 32)


@pytest.mark.parametrize("letter", ["1", "z", "=", "é"])
def test_a_long_text_costs_no_more_than_reading_it(letter: str) -> None:
    before = time.process_time()
    assert not base58.is_size(letter * 1_000_000, 64)
    assert time.process_time() - before < MEGABYTE_SECONDS
