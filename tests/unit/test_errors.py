"""Errors: codes, status hints and what they tell."""

import re
from itertools import groupby

import pytest

from wd_server import errors
from wd_server.errors import WalletDoctorError


def kinds(base: type[WalletDoctorError] = WalletDoctorError) -> list[type[WalletDoctorError]]:
    found = [base]
    for kind in base.__subclasses__():
        found += kinds(kind)
    # Packages add kinds of their own; these are the ones that every package knows.
    return [kind for kind in found if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", kinds())
def test_every_error_has_a_code_and_a_status_of_an_error(kind: type[WalletDoctorError]) -> None:
    assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*", kind.code)
    assert 400 <= kind.status <= 599


def test_a_code_always_comes_with_the_same_status() -> None:
    by_code = sorted((kind.code, kind.status) for kind in kinds())
    for code, pairs in groupby(by_code, key=lambda pair: pair[0]):
        assert len(set(pairs)) == 1, code


def test_an_error_says_its_sentence_and_when_to_come_back() -> None:
    error = errors.AtCapacity("Full for now.", retry_after=10)
    assert str(error) == error.message == "Full for now."
    assert error.retry_after == 10


def test_an_error_without_a_time_to_come_back_has_none() -> None:
    assert errors.InvalidWallet("Not an address.").retry_after is None


def test_upstream_errors_are_caught_together() -> None:
    for kind in (
        errors.UpstreamRateLimit,
        errors.UpstreamQuota,
        errors.UpstreamUnavailable,
        errors.UpstreamRejected,
    ):
        assert issubclass(kind, errors.UpstreamError)


@pytest.mark.parametrize("kind", [errors.AuthRequired, errors.InvalidKey, errors.TokenExpired])
def test_who_is_not_let_in_is_told_how_to_ask(kind: type[errors.NotAuthenticated]) -> None:
    assert kind.status == 401
    assert kind("No.").headers["WWW-Authenticate"].startswith('Bearer realm="wd-server"')


def test_an_error_has_no_headers_unless_it_is_given_some() -> None:
    assert errors.AtCapacity("Full.").headers == {}
    assert errors.RateLimited("Wait.", headers={"RateLimit": "x"}).headers == {"RateLimit": "x"}
