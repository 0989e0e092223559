"""`wd_server.client`, which stays for one release as another name of `wd_client`."""

import sys
from importlib import import_module

import pytest
import wd_client

OLD = "wd_server.client"
INSTEAD = "import wd_client instead"


def test_every_name_is_the_clients_and_says_what_to_import_instead() -> None:
    old = import_module(OLD)
    for name in wd_client.__all__:
        with pytest.warns(DeprecationWarning, match=INSTEAD) as warned:
            assert getattr(old, name) is getattr(wd_client, name)
        assert [each.filename for each in warned] == [__file__]


@pytest.mark.parametrize("what", ["Trade, stream", "*"])
def test_it_is_imported_from_as_before(what: str) -> None:
    names: dict[str, object] = {}
    with pytest.warns(DeprecationWarning, match=INSTEAD) as warned:
        exec(compile(f"from {OLD} import {what}", "theirs.py", "exec"), names)
    assert names["Trade"] is wd_client.Trade
    assert names["stream"] is wd_client.stream
    assert {each.filename for each in warned} == {"theirs.py"}


def test_what_was_never_a_name_is_none_now() -> None:
    for name in ("Strem", "__path__", "asyncio"):
        with pytest.raises(AttributeError, match=name):
            getattr(import_module(OLD), name)


def test_without_the_client_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wd_client", None)
    for what in ("Trade", "*"):
        with pytest.raises(ModuleNotFoundError, match=r"pip install \./clients/python"):
            exec(f"from {OLD} import {what}", {})
