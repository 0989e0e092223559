import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wd_server import base58
from wd_server.errors import InvalidWallet
from wd_server.trading.wallet import WalletAddress

REAL = "7T8ckKtdc5DH7ACS5AnCny7rVXYJPEsaAbdBri1FhPxY"


def encoded(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = base58.ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def refusal(text: str) -> str:
    with pytest.raises(InvalidWallet) as caught:
        WalletAddress.parse(text)
    return caught.value.message


@pytest.mark.parametrize("text", [REAL, "1" * 32, "So11111111111111111111111111111111111111112"])
def test_addresses_of_32_bytes_are_taken(text: str) -> None:
    assert WalletAddress.parse(text) == text


@given(st.binary(min_size=32, max_size=32))
def test_whatever_32_bytes_are_is_an_address(data: bytes) -> None:
    text = encoded(data)
    assert WalletAddress.parse(text) == text
    assert base58.decode(text) == data


@given(st.binary(max_size=64))
def test_base58_gives_back_what_was_written(data: bytes) -> None:
    assert base58.decode(encoded(data)) == data
    assert base58.encode(data) == encoded(data)


@given(st.sampled_from((31, 33)).flatmap(lambda size: st.binary(min_size=size, max_size=size)))
def test_a_byte_too_few_or_too_many_is_refused(data: bytes) -> None:
    assert "32" in refusal(encoded(data))


def test_31_and_33_bytes_are_named() -> None:
    assert "31 bytes" in refusal(encoded(b"\x07" * 31))
    assert "33 bytes" in refusal(encoded(b"\0" * 30 + b"\x07" * 3))


@pytest.mark.parametrize("wrong", ["0", "O", "I", "l", " ", "\n", "é", "\0", "٣", "\U0001f600"])
def test_what_base58_does_not_have_is_refused(wrong: str) -> None:
    assert "base58" in refusal(REAL[:-1] + wrong)


@pytest.mark.parametrize("text", ["", "1", REAL[:31], REAL + "1", REAL * 2])
def test_a_length_no_address_has_is_refused(text: str) -> None:
    assert f"{len(text)} characters" in refusal(text)


def test_an_endless_text_is_refused_without_being_decoded() -> None:
    before = time.process_time()
    for _ in range(100):
        refusal("z" * 1_000_000)
    # Decoding one of them takes minutes.
    assert time.process_time() - before < 5


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_an_error_of_ours(text: str) -> None:
    with contextlib.suppress(InvalidWallet):
        assert len(base58.decode(WalletAddress.parse(text))) == 32
