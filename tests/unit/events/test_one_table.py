"""Only the table lists kinds of events: a module that names two of them has a list of its own."""

import ast
from collections.abc import Iterator
from pathlib import Path

from clients.write_kinds import ROOT, WRITTEN
from wd_server.events.kinds import BY_NAME

PACKAGES = ("wd_server", "handlers", "wd_tools", "clients/python/wd_client")
# Words that are names of kinds, too, and mean something else.
OTHER_WORDS = {
    "wd_server/streaming/lifecycle.py": "reasons for which a stream ends",
    "wd_server/sync/relay.py": "notices between nodes, of any version of the server",
}


def modules() -> Iterator[str]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith("wd_server/events/") and name not in WRITTEN:
                yield name


def kinds_named(path: Path) -> set[str]:
    """Names of kinds that stand in a module as texts, but for those of attributes."""
    tree = ast.parse(path.read_text())
    attributes = {
        id(constant)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__slots__"
        for constant in ast.walk(node)
    }
    texts = {
        node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and id(node) not in attributes
    }
    return texts & BY_NAME.keys()


def test_no_module_has_a_list_of_kinds_of_its_own() -> None:
    lists = {name: kinds_named(ROOT / name) for name in modules()}
    assert {name for name, named in lists.items() if len(named) > 1} == set(OTHER_WORDS)


def test_a_list_of_kinds_is_found_whatever_it_is_written_as(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    for text in ('A = ("gap", b"bye")', 'def f(x):\n return x == "gap" or {"bye": 1}'):
        module.write_text(text)
        assert kinds_named(module) == {"gap", "bye"}
    module.write_text('"""`gap` and `bye`"""\nclass A:\n  __slots__ = ("gap", "bye")')
    assert not kinds_named(module)
