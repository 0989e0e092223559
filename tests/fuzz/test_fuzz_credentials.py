"""What stands where credentials stand, and what is logged of it."""

import json
import re

from budget import examples
from hypothesis import example, given
from hypothesis import strategies as st
from mutation import mutated

from wd_server.access.credentials import (
    CREDENTIAL_CHARACTERS_MAX,
    CredentialKind,
    presented,
)
from wd_server.errors import InvalidParameter
from wd_server.logs import Scrubber, render_json, render_text
from wd_server.secret import Secret

KEY = "wd_" + "K" * 32
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwYXlsb2FkIn0.c2lnbmF0dXJlc2lnbmF0dXJl"
MARK = "markedsecret0123456789"
TEXTS = st.sampled_from((KEY, TOKEN, "", "wd_", "a,b", " ")) | st.text(max_size=30)
HEADERS = st.lists(
    TEXTS
    | st.builds(
        str.__add__,
        st.sampled_from(("Bearer ", "bearer  ", "BEARER\t", "Basic ", " Bearer ")),
        TEXTS,
    ),
    max_size=3,
)
VALUES = st.lists(TEXTS, max_size=3)


@examples(750)
@given(HEADERS, VALUES, VALUES, VALUES)
def test_several_places_give_one_credential_or_a_refusal_that_tells_none(
    authorization: list[str], x_api_key: list[str], api_key: list[str], access_token: list[str]
) -> None:
    values = [*x_api_key, *api_key, *access_token]
    try:
        found = presented(
            authorization=authorization,
            x_api_key=x_api_key,
            api_key=api_key,
            access_token=access_token,
        )
    except InvalidParameter as error:
        said = error.message
    else:
        said = ""
    if said:
        assert KEY not in said
        assert TOKEN not in said
        return
    if found is None:
        assert not any(values)
        return
    text = found.secret.reveal()
    assert {*filter(None, values)} <= {text}
    assert all(
        text in header
        for header in authorization
        if header.strip().lower()[:7] == "bearer " and len(header.strip()) > 7
    )
    assert 0 < len(text) <= CREDENTIAL_CHARACTERS_MAX
    assert re.fullmatch(r"[!-+\--~]+", text)
    assert (found.kind is CredentialKind.KEY) == text.startswith("wd_")


def _spelled(name: str) -> st.SearchStrategy[str]:
    """The same parameter's name, with some of its letters as percent signs."""
    return st.lists(st.booleans(), min_size=len(name), max_size=len(name)).map(
        lambda escaped: "".join(
            f"%{ord(letter):02x}" if hidden else letter
            for letter, hidden in zip(name, escaped, strict=True)
        )
    )


SCRUBBER = Scrubber([Secret(MARK)])
PIECES = (
    b"\r\n",
    b"\0",
    b"\x1b[31m",
    b'"',
    b"\\",
    b"=",
    b": ",
    b"{",
    "\u2028\u202e".encode(),
    b"?",
)


@examples(500)
@given(
    mutated(
        st.sampled_from((MARK, f"Bearer {KEY}", f"api_key={TOKEN}", "")).map(str.encode), PIECES
    ),
    st.sampled_from((MARK, KEY, TOKEN)),
    st.text(max_size=10),
    st.sampled_from((render_json, render_text)),
)
@example(b"", MARK, "x" * 4090, render_json)
@example(b"", TOKEN, "x" * 8180, render_text)
def test_a_logged_value_shows_no_secret_and_stays_on_its_line(  # type: ignore[no-untyped-def]
    before: bytes, secret: str, behind: str, render
) -> None:
    """Secrets stand behind something that isn't part of a word, as they do wherever they belong."""
    value = f"{before.decode('latin-1')} {secret} {behind}"
    fact = {"timestamp": "now", "level": "info", "logger": "x", "event": value, "name": value}
    line = render(None, "info", SCRUBBER(None, "info", fact))
    assert secret not in line
    assert not re.search(r"[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", line)
    if render is render_json:
        shown = json.loads(line)
        assert shown.keys() == fact.keys()
        assert not re.search(r"[\0-\x1f\x7f-\x9f\u2028\u202e]", "".join(shown.values()))
