"""What is stored outlives the server that stored it: each version of a format has one layout.

`stored/` has a record of every layout since 0.1.0. To change one, raise the format's version, say
in the code how the versions before are read, and record the new layout.
"""

import re
from collections.abc import Iterator
from difflib import ndiff
from itertools import pairwise

import pytest
from stored_formats import FOLDER, Format, formats

from bench.source import installed

RECORD = "`python -m tests.architecture.stored_formats` records the layout of the new version."
# Modules that encode, and where the bytes go. What is stored or comes back has a `Format`.
ENCODING = {
    "wd_server.access.store": "into the store of keys: `key`",
    "wd_server.access.tokens": "to clients, as a JWT, whose claims docs/access.md lists",
    "wd_server.chain.price_sources": "to a price source",
    "wd_server.chain.rpc": "to the upstream",
    "wd_server.chain.websocket": "to the upstream",
    "wd_server.embedded.journal_rows": "to SQLite, as the parameter of a query",
    "wd_server.events.encoding": "to clients; into the journal: `entries`; to nodes: `notices`",
    "wd_server.events.schema": "to clients, as a description",
    "wd_server.logs": "into the log",
    "wd_server.redis.feed": "to other nodes: `notices`",
    "wd_server.sync.book": "into the journal: `checkpoint`",
    "wd_server.sync.checkpoint": "into the journal: `checkpoint`",
    "wd_server.trading.ledger": "into the journal: `ledger`",
}


@pytest.mark.parametrize("stored", formats(), ids=lambda stored: stored.name)
def test_the_layout_of_a_stored_format_is_that_of_its_version(stored: Format) -> None:
    assert stored.record.exists(), f"{stored.name} has a new version: {RECORD}"
    changes = list(ndiff(stored.record.read_text().splitlines(), stored.layout.splitlines()))
    changed = "\n".join(line for line in changes if not line.startswith((" ", "?")))
    assert not changed, (
        f"The layout of `{stored.name}` isn't that of version {stored.version} any more:\n{changed}"
        f"\nRaise the version: {stored.where}. {RECORD} Only if the bytes are the same, because a "
        f"field of an array has another name, correct the name in {stored.record.name}."
    )


@pytest.mark.parametrize("stored", formats(), ids=lambda stored: stored.name)
def test_no_version_is_recorded_that_the_code_does_not_have(stored: Format) -> None:
    assert _recorded(stored)[-1] == stored.version


@pytest.mark.parametrize(
    "stored", [each for each in formats() if each.grows], ids=lambda stored: stored.name
)
def test_a_format_that_other_versions_read_only_gets_fields_with_a_default(stored: Format) -> None:
    texts = [
        (FOLDER / f"{stored.name}.{version}.txt").read_text().splitlines()
        for version in _recorded(stored)
    ]
    for before, after in pairwise(texts):
        changes = [line for line in ndiff(before, after) if not line.startswith("?")]
        changes = _without_new_words(changes)
        gone = [line for line in changes if line.startswith("-")]
        assert not gone, "servers of the release before need it"
        assert not list(_required(changes)), "servers of the release before don't write it"


def test_a_new_field_needs_a_default_but_its_own_fields_do_not() -> None:
    new = ["  key: object", "+     tenant?: object", "+         name: str", "+     credits: int"]
    assert list(_required(new)) == ["+     credits: int"]


def test_a_list_of_words_may_grow_and_loses_none() -> None:
    grown = ["-  action: one of buy, sell", "+  action: one of burn, buy, sell"]
    assert _without_new_words(grown) == []
    assert _without_new_words(["-  pnl: decimal", "+  pnl: decimal or null"]) == []
    shrunk = ["-  action: one of buy, sell", "+  action: one of burn, buy"]
    assert _without_new_words(shrunk) == shrunk
    assert _without_new_words(["+  action: one of burn, buy"]) == ["+  action: one of burn, buy"]


def test_every_module_that_encodes_says_where_the_bytes_go() -> None:
    encodes = re.compile(r"\b(json|msgpack)\.(encode|Encoder)\b")
    found = {
        module.name
        for module in installed()
        if module.program == "wd_server" and encodes.search(module.text)
    }
    assert not sorted(found - ENCODING.keys()), "if it is stored, it needs a Format, too"
    assert not sorted(ENCODING.keys() - found), "a module that encodes no more"


def _recorded(stored: Format) -> list[int]:
    return sorted(int(path.suffixes[0][1:]) for path in FOLDER.glob(f"{stored.name}.*.txt"))


def _without_new_words(changes: list[str]) -> list[str]:
    """What may be one thing more than before takes none away: a server of the release before passes
    over a notice with a word, or a null, that it doesn't know."""
    words = {}
    for line in changes:
        name, _, listed = line[1:].partition(": ")
        words[line[0], name] = set(re.split(", | or ", listed.removeprefix("one of ")))
    grown = {
        name
        for sign, name in words
        if sign == "-" and words["-", name] < words.get(("+", name), set())
    }
    return [line for line in changes if line[1:].partition(": ")[0] not in grown]


def _required(changes: list[str]) -> Iterator[str]:
    """New fields without a default. Those within a new field may be without one."""
    within: int | None = None
    for line in changes:
        depth = len(line) - len(line[1:].lstrip())
        if not line.startswith("+"):
            within = None
        elif within is None or depth <= within:
            within = depth
            if "?: " not in line:
                yield line
