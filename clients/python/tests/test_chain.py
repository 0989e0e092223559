import json
from hashlib import sha256
from itertools import pairwise

import pytest
from wd_client.chain import BEGINNING, Bookmark, Chain, chain_at
from wd_client.errors import Mismatch

PAYLOADS = [b'{"number":1}', b'{"number":2,"x":"\xc3\xa4"}', b'{"number":3}']


def chained(numbered: bool = True) -> Chain:
    chain = Chain()
    for number, payload in enumerate(PAYLOADS, 1):
        chain.add(b"7-%d" % (2 * number), payload, number if numbered else None)
    return chain


def test_the_chain_is_the_one_of_the_contract() -> None:
    digest = bytes(32)
    for number, payload in enumerate(PAYLOADS, 1):
        digest = sha256(digest + b"7-%d" % (2 * number) + b"\n" + payload).digest()
    assert chained().digest == digest
    assert chained().proves(3, digest.hex())
    assert Chain().proves(0, BEGINNING.hex())


@pytest.mark.parametrize("number", [1, 3, 0, -1, 5, 10**30])
def test_a_number_that_is_not_the_next_one_shows_a_loss_at_once(number: int) -> None:
    chain = Chain(3, BEGINNING)
    with pytest.raises(Mismatch, match=f"entry {number} came after entry 3"):
        chain.add(b"7-9", b"{}", number)


@pytest.mark.parametrize(
    ("entries", "digest", "difference"),
    [
        (4, "", "3 entries came, and the server counts 4"),
        (2, "", "3 entries came, and the server counts 2"),
        (3, "00" * 32, "the digest of 3 entries is another"),
        (3, "", "the digest of 3 entries is another"),
    ],
)
def test_what_differs_is_said(entries: int, digest: str, difference: str) -> None:
    with pytest.raises(Mismatch, match=difference):
        chained().proves(entries, digest)


@pytest.mark.parametrize("told", [(None, None), (3, None), (None, "00"), ("3", "00")])
def test_an_older_server_that_sends_no_digest_is_not_checked(told: tuple[object, object]) -> None:
    assert chained(numbered=False).entries == 3
    assert not chained().proves(*told)


def test_older_entries_without_a_number_are_counted_with_those_that_have_one() -> None:
    chain = chained(numbered=False)
    chain.add(b"7-9", b"{}", 4)
    assert chain.entries == 4


def test_a_stream_that_began_in_the_middle_knows_what_is_lost_and_proves_nothing() -> None:
    chain = Chain(None, None)
    chain.add(b"7-9", b"{}", 5)
    assert (chain.entries, chain.digest) == (5, None)
    assert not chain.proves(5, "00")
    with pytest.raises(Mismatch):
        chain.add(b"7-11", b"{}", 7)


def test_a_bookmark_that_was_kept_as_json_goes_on_with_the_same_chain() -> None:
    whole = chained()
    assert whole.digest is not None
    ends = []
    for at in range(len(PAYLOADS) + 1):
        chain = Chain()
        for number, payload in enumerate(PAYLOADS, 1):
            if number == at + 1:
                assert chain.digest is not None
                kept = json.dumps(Bookmark("7-1", chain.entries, chain.digest.hex()))
                chain = chain_at(*Bookmark(*json.loads(kept))[1:3])
            chain.add(b"7-%d" % (2 * number), payload, number)
        ends.append((chain.entries, chain.digest))
    assert all(one == other for one, other in pairwise([(3, whole.digest), *ends]))


@pytest.mark.parametrize("digest", ["", "00", "zz" * 32, "00" * 33])
def test_a_bookmark_whose_digest_is_none_is_refused(digest: str) -> None:
    with pytest.raises(ValueError, match=r"digest|hexa"):
        chain_at(1, digest)
