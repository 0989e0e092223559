"""Public keys of another issuer, read from its file."""

import json
from pathlib import Path

import issuer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wd_server.access import issuers
from wd_server.config.settings import InvalidSettings


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_public_key_in_pem_is_for_one_algorithm(algorithm: str) -> None:
    (key,) = issuers.parse(issuer.public_pem(issuer.SIGNING[algorithm]))
    assert (key.kid, key.algorithm) == (None, algorithm)


def test_a_jwks_has_several_with_their_names() -> None:
    text = issuer.jwks(
        issuer.public_jwk(issuer.RSA_KEY, kid="r", use="sig", alg="RS256"),
        issuer.public_jwk(issuer.EC_KEY, kid="e"),
        issuer.public_jwk(issuer.ED_KEY),
    )
    found = [(key.kid, key.algorithm) for key in issuers.parse(text)]
    assert found == [("r", "RS256"), ("e", "ES256"), (None, "EdDSA")]


def test_keys_of_a_jwks_that_are_for_something_else_are_passed_over() -> None:
    text = issuer.jwks(
        issuer.public_jwk(issuer.RSA_KEY, use="enc"),
        issuer.public_jwk(issuer.RSA_KEY, alg="RS512"),
        issuer.public_jwk(issuer.OTHER_CURVE_KEY),
        issuer.public_jwk(issuer.SMALL_RSA_KEY),
        {"kty": "new"},
        issuer.public_jwk(issuer.EC_KEY),
    )
    assert [key.algorithm for key in issuers.parse(text)] == ["ES256"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{",
        "{}",
        '{"keys": 1}',
        '{"keys": [1]}',
        '{"keys": []}',
        issuer.private_pem(issuer.RSA_KEY),
        issuer.public_pem(issuer.SMALL_RSA_KEY),
        issuer.public_pem(issuer.OTHER_CURVE_KEY),
        issuer.jwks({"kty": "oct", "k": "c2VjcmV0"}),
        issuer.jwks(issuer.public_jwk(issuer.ED_KEY, d="c2VjcmV0")),
        issuer.jwks(*[issuer.public_jwk(issuer.ED_KEY)] * 17),
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    ],
)
def test_what_has_no_usable_public_key_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        issuers.parse(text)


@given(st.text() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        issuers.parse(text)


def test_a_file_is_read_and_a_wrong_one_named(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    with pytest.raises(InvalidSettings, match=r"JWT_KEYS_FILE.*keys can't be read"):
        issuers.read(path)
    path.write_bytes(b"\xff")
    with pytest.raises(InvalidSettings, match="isn't text"):
        issuers.read(path)
    path.write_text(" " * 70_000)
    with pytest.raises(InvalidSettings, match="larger"):
        issuers.read(path)
    path.write_text("nothing")
    with pytest.raises(InvalidSettings, match="neither"):
        issuers.read(path)
    path.write_text(issuer.public_pem(issuer.ED_KEY))
    assert len(issuers.read(path)) == 1
