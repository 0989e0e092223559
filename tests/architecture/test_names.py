"""One name, one meaning: class names, and the words that names are made of.

ARCHITECTURE.md has the glossary.
"""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator

from bench.source import Function, Module, installed

# Words that no name of the server has, and what to say instead.
INSTEAD = {
    "analysis": "sync",
    "attendance": "session",
    "audience": "subscribers",
    "door": "authenticator",
    "entrance": "authenticator",
    "house": "wd_server, or a package's name",
    "lookout": "key sync",
    "member": "subscription",
    "members": "subscriptions",
    "outlay": "posting",
    "outlays": "postings",
    "roster": "key index",
    "spoke": "connection",
    "spokes": "connections",
    "visit": "session slot (in access); only the scheduler of streams visits",
    "visits": "session slots (in access); only the scheduler of streams visits",
    "watcher": "subscriber",
    "watchers": "subscribers",
}
# Where a word means something else, which everybody calls so.
MEANT = {
    ("audience", "wd_server.access.authenticator"): "the claim `aud` of a JWT",
    ("audience", "wd_server.access.tokens"): "the claim `aud` of a JWT",
    ("audience", "wd_server.config.settings"): "the claim `aud` of a JWT",
    ("member", "wd_server.events.encoding"): "of a JSON object",
    ("member", "wd_server.events.sse"): "of a JSON object",
    ("member", "wd_server.redis.keys"): "of a sorted set in Redis",
    ("member", "wd_server.redis.shards"): "of a Redis Cluster",
    ("members", "wd_server.redis.shards"): "of a Redis Cluster",
    ("visit", "wd_server.streaming.bundle"): "of the scheduler of streams",
    ("visit", "wd_server.streaming.channel"): "of the scheduler of streams",
    ("visit", "wd_server.streaming.connection"): "of the scheduler of streams",
    ("visit", "wd_server.streaming.registry"): "of the scheduler of streams",
    ("visits", "wd_server.streaming.registry"): "of the scheduler of streams",
}


def names_in(module: Module) -> Iterator[str]:
    """All that the module names or calls by name, and its own name."""
    yield from module.name.split(".")
    for node in ast.walk(module.tree):
        if isinstance(node, Function | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg | ast.keyword) and node.arg is not None:
            yield node.arg
        elif isinstance(node, ast.alias):
            yield from (node.asname or node.name).split(".")


def words(name: str) -> list[str]:
    """Of a name in snake_case or CamelCase."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def test_a_name_is_cut_into_its_words() -> None:
    assert words("_RedisJournal2") == ["redis", "journal"]
    assert words("next_HTTPError") == ["next", "http", "error"]
    assert words("SEAL_BYTES") == ["seal", "bytes"]


def test_a_program_has_no_class_name_twice() -> None:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for module in installed():
        counts[module.program].update(node.name for node in module.classes)
    for program, names in counts.items():
        twice = sorted(name for name, count in names.items() if count > 1)
        assert not twice, f"{program} has these names already: find others"


def test_the_server_says_no_word_that_has_two_meanings() -> None:
    said = {
        (word, module.name): name
        for module in installed()
        if module.program == "wd_server"
        for name in names_in(module)
        for word in words(name)
        if word in INSTEAD
    }
    assert not [
        f"{module} has `{name}`: say {INSTEAD[word]}, not {word}"
        for (word, module), name in said.items()
        if (word, module) not in MEANT
    ]
    assert not sorted(MEANT.keys() - said.keys()), "a reason without its word: take it off MEANT"
