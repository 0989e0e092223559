"""What of a connection's first bytes is read without Tornado."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wd_server.listener import HEAD_BYTES, is_plain

WALLET = "9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7"
HEAD = f"GET /v4/wallet/{WALLET}/stream?follow=true HTTP/1.1\r\nHost: x\r\n".encode()


def test_a_request_for_a_stream_is_plain() -> None:
    assert is_plain(HEAD + b"\r\n")
    assert is_plain(HEAD + b"Last-Event-ID: 17-3\r\nAuthorization: Bearer wd_1\r\n\r\n")
    assert is_plain(b"GET /v4/stream?wallet=a&wallet=b HTTP/1.1\r\nHost: x\r\n\r\n")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST " + HEAD.removeprefix(b"GET ") + b"\r\n",
        b"HEAD " + HEAD.removeprefix(b"GET ") + b"\r\n",
        HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n",
        HEAD.replace(b"/v4/", b"http://x/v4/") + b"\r\n",
        HEAD.replace(b"/stream", b"/%73tream") + b"\r\n",
        HEAD.replace(b"/v4/wallet", b"/v4/../v4/wallet") + b"\r\n",
    ],
)
def test_another_method_path_or_version_is_not(head: bytes) -> None:
    assert not is_plain(head)


@pytest.mark.parametrize(
    "field",
    [
        b"Content-Length: 0",
        b"content-length: 5",
        b"Transfer-Encoding: chunked",
        b"TRANSFER-ENCODING: identity",
        b"Expect: 100-continue",
        b"Upgrade: h2c",
        b"X: a\r\n folded",
        b"X : a",
        b"X: a\0",
        b"X: a\nY: b",
        b"X: \xe9",
        b"no colon",
        b"X: " + b"a" * HEAD_BYTES,
    ],
)
def test_a_head_that_announces_a_body_or_can_be_read_in_two_ways_is_not(field: bytes) -> None:
    assert not is_plain(HEAD + field + b"\r\n\r\n")


def test_a_head_without_fields_or_with_something_behind_it_is_not() -> None:
    assert not is_plain(HEAD.partition(b"\r\n")[0] + b"\r\n\r\n")
    assert not is_plain(HEAD + b"\r\n" + b"GET ")
    assert not is_plain(HEAD + b"\r\n" + HEAD + b"\r\n")


@given(st.integers(0, len(HEAD) + 1))
def test_a_part_of_a_head_is_not(size: int) -> None:
    assert not is_plain((HEAD + b"\r\n")[:size])


@given(st.binary(max_size=200))
def test_whatever_is_put_into_a_head_it_stays_one_head_without_a_body(text: bytes) -> None:
    head = HEAD + b"X: " + text + b"\r\n\r\n"
    if is_plain(head):
        assert head.count(b"\r\n\r\n") == 1
        assert b"\0" not in head
        assert head.count(b"\n") == head.count(b"\r\n")
        assert b"content-length:" not in head.lower()
