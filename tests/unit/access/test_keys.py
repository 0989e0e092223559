"""Keys: random, recognised by a keyed hash, and SECRET_KEY may change."""

import re
import stat
from pathlib import Path

import pytest

from wd_server.access import store
from wd_server.access.keys import SigningKeys, key_id, new_key
from wd_server.access.secret_file import signing_keys
from wd_server.config.settings import Settings
from wd_server.errors import StoreUnavailable
from wd_server.secret import Secret

CURRENT, OLD = Secret("c" * 32), Secret("o" * 32)


def test_keys_look_as_promised_and_differ() -> None:
    keys = {new_key() for _ in range(1000)}
    assert len(keys) == 1000
    for key in keys:
        assert re.fullmatch("wd_[A-Za-z0-9]{32}", key.reveal())
        assert key.reveal().startswith(key_id(key))
        assert len(key_id(key)) == 11


def test_a_stored_key_has_the_bytes_that_earlier_versions_wrote() -> None:
    row = (
        b'{"id":"wd_bbbbbbbb","line":"wd_aaaaaaaa","name":"a customer","digest":"%b",'
        b'"under":"0a1b2c3d","created_at":1700000000.0,"streams":3}' % (b"00" * 32)
    )
    key = store.decode(row)
    assert (key.id, key.family, key.streams) == ("wd_bbbbbbbb", "wd_aaaaaaaa", 3)
    assert store.encode(key) == row


def test_digests_depend_on_the_secret_key() -> None:
    one, other = SigningKeys(CURRENT).current, SigningKeys(OLD).current
    assert one.digest(b"key") != other.digest(b"key")
    assert one.fingerprint != other.fingerprint
    assert one.digest(b"key") == SigningKeys(CURRENT, OLD).current.digest(b"key")


def test_a_signing_key_is_not_shown() -> None:
    assert CURRENT.reveal() not in repr(SigningKeys(CURRENT).current)


def test_a_seal_is_right_for_its_purpose_and_message_only() -> None:
    keys = SigningKeys(CURRENT)
    seal = keys.seal("resume", b"message")
    assert keys.is_seal("resume", b"message", seal)
    assert not keys.is_seal("resume", b"message!", seal)
    assert not keys.is_seal("other", b"message", seal)
    assert not keys.is_seal("resume", b"message", seal[:-1])
    assert not SigningKeys(OLD).is_seal("resume", b"message", seal)


def test_a_seal_by_the_old_secret_key_is_still_right() -> None:
    seal = SigningKeys(OLD).seal("resume", b"message")
    assert SigningKeys(CURRENT, OLD).is_seal("resume", b"message", seal)
    assert SigningKeys(CURRENT, OLD).seal("resume", b"message") != seal


def test_development_makes_its_own_secret_key_once_and_keeps_it_to_itself(tmp_path: Path) -> None:
    settings = Settings.from_environment({"DATA_DIR": str(tmp_path / "data")})
    first = signing_keys(settings)
    assert signing_keys(settings).current.fingerprint == first.current.fingerprint
    file = tmp_path / "data" / "secret-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["secret-key"]
    other = Settings.from_environment({"DATA_DIR": str(tmp_path / "other")})
    assert signing_keys(other).current.fingerprint != first.current.fingerprint


def test_a_secret_key_that_is_set_is_used_and_no_file_is_made(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {"DATA_DIR": str(tmp_path), "SECRET_KEY": "a", "SECRET_KEY_OLD": "b"}
    )
    fingerprints = [key.fingerprint for key in signing_keys(settings).all]
    assert fingerprints == [SigningKeys(Secret(text)).current.fingerprint for text in "ab"]
    assert not list(tmp_path.iterdir())


def test_a_folder_that_can_not_hold_the_secret_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings.from_environment({"DATA_DIR": str(tmp_path / "file" / "data")})
    with pytest.raises(StoreUnavailable, match="SECRET_KEY"):
        signing_keys(settings)


def test_an_empty_secret_key_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "secret-key").write_text("\n")
    with pytest.raises(StoreUnavailable, match="empty"):
        signing_keys(Settings.from_environment({"DATA_DIR": str(tmp_path)}))
