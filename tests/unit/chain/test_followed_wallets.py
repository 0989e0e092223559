"""The list of followed wallets, which says who is watched."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from wd_server.chain import followed_wallets
from wd_server.chain.followed_wallets import FollowedWalletsFile

ANYBODY = 0o077


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Under which files are for everybody unless somebody says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_only_the_servers_user_can_read_it(tmp_path: Path, open_umask: None) -> None:
    path = tmp_path / followed_wallets.FILE_NAME
    # What an interrupted process of an older version left.
    path.with_suffix(".part").write_text("half")
    followed_wallets._replace(path, ["b", "a"])
    assert path.read_text() == "a\nb\n"
    assert path.stat().st_mode & ANYBODY == 0


def test_what_an_older_version_left_is_closed_at_the_start(
    tmp_path: Path, open_umask: None
) -> None:
    path = tmp_path / followed_wallets.FILE_NAME
    FollowedWalletsFile(path, ()).open()
    assert not path.exists()
    path.write_text("a\n")
    FollowedWalletsFile(path, ()).open()
    assert path.stat().st_mode & ANYBODY == 0
    assert path.read_text() == "a\n"
