"""The budget finds readers whose time grows faster than what they read."""

import re

import pytest
from budget import TooSlow, budget, examples
from hypothesis import given
from hypothesis import strategies as st

# An unfinished head of so few lines that the expression below takes a second or two.
HEAD = b"GET /v4/stream HTTP/1.1\r\n" + b"A: b\r\n" * 24
# Bytes of a text that takes a reader too long which looks at all of it for each of its bytes.
TEXT_BYTES = 32 * 1024

# What read heads here once. The blank behind a colon is a part of `: ?` or of `[ -~]*`, so a head
# that fails in the end is tried in 2^lines ways.
_EXPONENTIAL = re.compile(
    rb"GET (/v4/(?:wallet/\w{1,64}/)?stream(?:\?[!-~]*)?) HTTP/1\.1\r\n"
    rb"((?:[\w-]+: ?[ -~]*\r\n)+)\r\n",
    re.ASCII,
)
_QUADRATIC = re.compile(rb"(?:a|b)*c")


def test_an_exponential_reader_fails_on_205_bytes_and_less() -> None:
    with pytest.raises(TooSlow), budget(len(HEAD)):
        assert _EXPONENTIAL.fullmatch(HEAD) is None


def test_a_quadratic_reader_fails_on_a_long_text() -> None:
    text = b"a" * TEXT_BYTES
    with pytest.raises(TooSlow), budget(len(text)):
        assert _QUADRATIC.search(text) is None


def test_a_linear_reader_passes() -> None:
    text = b"a" * 1_000_000
    with budget(len(text)):
        assert b"c" not in text


def test_an_example_that_is_too_slow_fails_its_test() -> None:
    @examples(1)
    @given(st.just(HEAD))
    def search(head: bytes) -> None:
        assert _EXPONENTIAL.fullmatch(head) is None

    with pytest.raises(TooSlow):
        search()
