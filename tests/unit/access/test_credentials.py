"""What a request presents, wherever it stands."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wd_server.access.credentials import (
    CREDENTIAL_CHARACTERS_MAX,
    Credential,
    CredentialKind,
    presented,
)
from wd_server.errors import InvalidParameter
from wd_server.secret import Secret

KEY = "wd_0123456789abcdefghijklmnopqrstuv"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"
OF_KEY = Credential(CredentialKind.KEY, Secret(KEY))
OF_TOKEN = Credential(CredentialKind.TOKEN, Secret(TOKEN))


def test_a_key_may_stand_in_each_of_its_places() -> None:
    assert presented(authorization=[f"Bearer {KEY}"]) == OF_KEY
    assert presented(x_api_key=[KEY]) == OF_KEY
    assert presented(api_key=[KEY]) == OF_KEY


def test_a_token_may_stand_in_each_of_its_places() -> None:
    assert presented(authorization=[f"bearer  {TOKEN} "]) == OF_TOKEN
    assert presented(access_token=[TOKEN]) == OF_TOKEN


def test_a_request_without_any_has_none() -> None:
    assert presented() is None
    assert presented(authorization=[""], x_api_key=[""], api_key=[""], access_token=[""]) is None
    assert presented(authorization=["Bearer", "Bearer "]) is None


def test_another_scheme_is_not_ours() -> None:
    assert presented(authorization=["Basic dXNlcjpwYXNz"]) is None
    assert presented(authorization=["Basic dXNlcjpwYXNz"], x_api_key=[KEY]) == OF_KEY
    assert presented(authorization=[KEY]) is None


def test_the_same_one_twice_is_fine() -> None:
    assert presented(authorization=[f"Bearer {KEY}"], x_api_key=[KEY], api_key=[KEY, KEY]) == OF_KEY


@pytest.mark.parametrize(
    "places",
    [
        {"authorization": [f"Bearer {KEY}"], "x_api_key": [KEY[:-1] + "w"]},
        {"authorization": [f"Bearer {TOKEN}"], "api_key": [KEY]},
        {"api_key": [KEY], "access_token": [TOKEN]},
        {"api_key": [KEY, KEY + "x"]},
        {"authorization": [f"Bearer {KEY}", f"Bearer {TOKEN}"]},
        {"authorization": [f"Bearer {KEY},Bearer {TOKEN}"]},
    ],
)
def test_two_that_differ_are_refused(places: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidParameter) as caught:
        presented(**places)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["wd_é", "wd_ \x00", "a b", "a\r\nX-Evil: 1", "\ufffd", "a" * (CREDENTIAL_CHARACTERS_MAX + 1)],
)
def test_what_can_be_no_credential_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        presented(x_api_key=[text])
    assert text not in caught.value.message


def test_the_longest_credential_is_taken() -> None:
    text = "e" * CREDENTIAL_CHARACTERS_MAX
    assert presented(access_token=[text]) == Credential(CredentialKind.TOKEN, Secret(text))


def test_a_credential_is_not_shown() -> None:
    assert KEY not in repr(OF_KEY)


@given(st.lists(st.text(max_size=60), max_size=3), st.lists(st.text(max_size=60), max_size=3))
def test_any_text_is_taken_or_refused(one: list[str], other: list[str]) -> None:
    try:
        found = presented(authorization=one, x_api_key=other, api_key=one, access_token=other)
    except InvalidParameter:
        return
    if found is not None:
        text = found.secret.reveal()
        assert re.fullmatch(r"[!-~]{1,4096}", text)
        assert (found.kind is CredentialKind.KEY) == text.startswith("wd_")
