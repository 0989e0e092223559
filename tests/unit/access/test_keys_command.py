"""`bin/wd-keys` as operators and scripts run it, beside authenticators that see what it did."""

import asyncio
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time
from typing import Any

import pytest
from processes import PATIENCE, ROOT, free_port
from redis_server import redis_server

from wd_server.access import cli, entrance, key_words
from wd_server.access.credentials import Credential, CredentialKind
from wd_server.access.session_slots import Ending
from wd_server.config.settings import Settings
from wd_server.errors import InvalidKey
from wd_server.secret import Secret

WALLET = "9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7"
HOME = "192.0.2.1"
SECRET_KEY = "a secret key that nobody must see anywhere"

Environment = dict[str, str]


@contextmanager
def redis_place() -> Iterator[Environment]:
    with redis_server() as server:
        yield {"REDIS_URL": server.url.reveal()}


@contextmanager
def sqlite_place() -> Iterator[Environment]:
    yield {}


@pytest.fixture(params=[sqlite_place, redis_place])
def environ(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Environment]:
    with request.param() as place:
        yield {"DATA_DIR": str(tmp_path / "data"), "SECRET_KEY": SECRET_KEY, **place}


def run(environ: Environment, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(ROOT / "bin/wd-keys"), *arguments],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def told(environ: Environment, *arguments: str) -> Any:
    done = run(environ, *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert SECRET_KEY not in done.stdout
    return json.loads(done.stdout)


def credential(text: str) -> Credential:
    return Credential(CredentialKind.KEY, Secret(text))


def test_a_key_s_life_from_create_to_revoke(environ: Environment) -> None:
    made = told(
        environ, "create", "--name", "a customer", "--streams", "5", "--requests", "0",
        "--wallets", WALLET, "--expires", "2099-12-31",
    )  # fmt: skip
    key = made.pop("key")
    assert (len(key), key[:11]) == (35, made["id"])
    assert made["name"] == "a customer"
    assert (made["streams"], made["requests"], made["wallets"]) == (5, 0, [WALLET])
    assert (made["state"], made["expires_at"]) == ("live", "2099-12-31T00:00:00Z")
    assert told(environ, "show", made["id"]) == made
    assert told(environ, "list") == [made]

    new = told(environ, "rotate", made["id"], "--overlap", "1h")
    assert (new["name"], new["wallets"], new["line"]) == ("a customer", [WALLET], made["id"])
    old = told(environ, "show", made["id"])
    assert (old["state"], old["successor"]) == ("being replaced", new["id"])
    assert run(environ, "rotate", made["id"]).returncode == cli.EXIT_REFUSED

    assert told(environ, "revoke", made["id"])["state"] == "revoked"
    assert told(environ, "revoke", made["id"])["state"] == "revoked"
    assert [each["id"] for each in told(environ, "list")] == [new["id"]]
    assert len(told(environ, "list", "--all")) == 2
    # A key is shown when it is made and never again.
    assert key not in run(environ, "list", "--all", "--json").stdout


def test_people_get_a_table_without_anything_cut_off(environ: Environment) -> None:
    name = "[bold]a name[/bold] as long as allowed: ".ljust(key_words.NAME_CHARACTERS_MAX, ".")
    made = run(environ, "create", "--name", name)
    assert made.returncode == 0
    key = made.stdout.split("\n")[0].split()[-1]
    listed = run(environ, "list").stdout
    assert name in listed
    assert key[:11] in listed
    assert key not in listed
    shown = run(environ, "show", key[:11]).stdout
    assert name in shown
    assert key not in shown


def test_a_revoked_key_is_refused_by_doors_in_other_processes_and_its_streams_end(
    environ: Environment,
) -> None:
    made = told(environ, "create", "--name", "test")
    key = credential(made["key"])
    settings = Settings.from_environment(environ)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        link = entrance.redis_link(settings)
        authenticator = entrance.authenticator(settings, time, link)
        if link is not None:
            await link.open()
        await authenticator.open()
        principal = await authenticator.check(key, HOME, time())
        ended: asyncio.Future[Ending] = loop.create_future()
        await authenticator.take_slot(principal, ended.set_result)
        token = authenticator.issue(principal, time())
        bearer = await authenticator.check(
            Credential(CredentialKind.TOKEN, token.token), HOME, time()
        )
        of_token: asyncio.Future[Ending] = loop.create_future()
        await authenticator.take_slot(bearer, of_token.set_result)

        await loop.run_in_executor(None, told, environ, "revoke-token", token.jti)
        async with asyncio.timeout(5):
            assert await of_token is Ending.REVOKED
        assert not ended.done()
        await loop.run_in_executor(None, told, environ, "revoke", made["id"])
        async with asyncio.timeout(5):
            assert await ended is Ending.REVOKED
        with pytest.raises(InvalidKey):
            authenticator.check_in_memory(key, HOME, time())
        # And a key that is made while the server runs works at once.
        new = await loop.run_in_executor(None, told, environ, "create", "--name", "new")
        assert await authenticator.check(credential(new["key"]), HOME, time())
        await authenticator.close()
        if link is not None:
            await link.close()

    asyncio.run(scenario())


def test_processes_that_make_keys_at_once_lose_none(environ: Environment) -> None:
    command = [sys.executable, str(ROOT / "bin/wd-keys"), "create", "--name", "x", "--json"]
    env = {"PATH": os.environ["PATH"], **environ}
    del env["SECRET_KEY"]
    processes = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    made = [json.loads(process.communicate(timeout=PATIENCE)[0]) for process in processes]
    del environ["SECRET_KEY"]
    listed = told(environ, "list")
    assert {key["id"] for key in listed} == {key["id"] for key in made}
    # All under the one secret that the first of them made.
    assert {key["secret_key"] for key in listed} == {"current"}


def test_a_list_says_which_keys_hang_on_an_old_secret_key(environ: Environment) -> None:
    told(environ, "create", "--name", "test")
    assert told(environ, "list")[0]["secret_key"] == "current"
    newer = environ | {"SECRET_KEY": "new", "SECRET_KEY_OLD": SECRET_KEY}
    assert told(newer, "list")[0]["secret_key"] == "old"
    assert told(environ | {"SECRET_KEY": "new"}, "list")[0]["secret_key"] == "unknown"


@pytest.fixture
def alone(tmp_path: Path) -> Environment:
    return {"DATA_DIR": str(tmp_path / "data"), "SECRET_KEY": SECRET_KEY}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["create"],
        ["create", "--name", ""],
        ["create", "--name", "a\nb"],
        ["create", "--name", "x" * 81],
        ["create", "--name", "x", "--streams", "-1"],
        ["create", "--name", "x", "--streams", "9" * 5000],
        ["create", "--name", "x", "--requests", "1.5"],
        ["create", "--name", "x", "--wallets", "nonsense"],
        ["create", "--name", "x", "--wallets", ""],
        ["create", "--name", "x", "--expires", "soon"],
        ["create", "--name", "x", "--expires", "99999d"],
        ["rotate", "wd_12345678", "--overlap", "long"],
        ["drop"],
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_stored(
    alone: Environment, arguments: list[str]
) -> None:
    done = run(alone, *arguments)
    assert done.returncode == cli.EXIT_USAGE
    assert "Traceback" not in done.stderr
    assert not Path(alone["DATA_DIR"]).exists()


def test_what_can_not_be_done_is_said_in_a_sentence(alone: Environment) -> None:
    for arguments in (
        ["show", "wd_nothere1"],
        ["revoke", "wd_nothere1"],
        ["rotate", "wd_nothere1"],
        ["revoke-token", "a.b.c"],
        ["revoke-token", ""],
        ["create", "--name", "x", "--expires", "2001-01-01"],
    ):
        done = run(alone, *arguments)
        assert (done.returncode, done.stdout) == (cli.EXIT_REFUSED, ""), arguments
        assert done.stderr.startswith("wd-keys: ")
        assert len(done.stderr.splitlines()) == 1


def test_another_issuer_s_token_is_revoked_though_its_name_begins_with_a_dash(
    alone: Environment,
) -> None:
    done = run(alone, "revoke-token", "--json", "--issuer", "https://them", "--", "-x1")
    assert json.loads(done.stdout) == {"jti": "-x1", "issuer": "https://them", "state": "revoked"}


def test_a_revoked_token_is_this_server_s_own_unless_another_issuer_is_named(
    alone: Environment,
) -> None:
    named = alone | {"TOKEN_ISSUER": "https://us"}
    own = ["revoke-token", "7"]
    assert "a token of https://us" in run(named, *own).stdout
    for arguments in (own, [*own, "--issuer", "https://us"]):
        done = run(named, *arguments, "--json")
        assert json.loads(done.stdout)["issuer"] == "https://us"


@pytest.mark.parametrize("issuer", ["", " ", "them\n", "https://them\x1b[2J"])
def test_an_issuer_that_no_token_can_have_is_refused_and_not_repeated(
    alone: Environment, issuer: str
) -> None:
    """A variable that isn't set made one of these, and what it revoked was no token."""
    done = run(alone, "revoke-token", "--issuer", issuer, "7")
    assert (done.returncode, done.stdout) == (cli.EXIT_USAGE, "")
    assert done.stderr.endswith("an issuer is the text of the claim `iss`, and not empty\n")
    assert "them" not in done.stderr


def test_a_whole_key_as_an_argument_is_refused_and_not_repeated(alone: Environment) -> None:
    key = told(alone, "create", "--name", "x")["key"]
    done = run(alone, "revoke", key)
    assert done.returncode == cli.EXIT_REFUSED
    assert key not in done.stderr
    assert told(alone, "list")[0]["state"] == "live"


def test_a_store_that_does_not_answer_is_named_without_its_password(alone: Environment) -> None:
    port = free_port()
    done = run(alone | {"REDIS_URL": f"redis://user:hunter2@127.0.0.1:{port}/"}, "list")
    assert done.returncode == cli.EXIT_UNAVAILABLE
    assert f"127.0.0.1:{port}" in done.stderr
    assert "hunter2" not in done.stderr


def test_a_file_that_is_no_store_is_said(alone: Environment) -> None:
    folder = Path(alone["DATA_DIR"])
    folder.mkdir()
    (folder / "access.db").write_bytes(b"nonsense" * 1000)
    done = run(alone, "list")
    assert done.returncode == cli.EXIT_UNAVAILABLE
    assert "Traceback" not in done.stderr


def test_wrong_settings_are_named(alone: Environment) -> None:
    done = run(alone | {"ENV": "production"}, "list")
    assert done.returncode == cli.EXIT_CONFIG
    assert "REDIS_URL" in done.stderr
    assert "HELIUS_KEY" not in done.stderr  # keys need no upstream


def test_the_store_s_files_are_for_their_owner_only(alone: Environment) -> None:
    told(alone, "create", "--name", "x")
    for file in Path(alone["DATA_DIR"]).iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_root_does_not_leave_files_that_the_server_can_not_open(alone: Environment) -> None:
    if os.geteuid() != 0:
        return  # nobody else can give a folder away
    folder = Path(alone["DATA_DIR"])
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    done = run(alone, "list")
    assert done.returncode == cli.EXIT_REFUSED
    assert "sudo -u nobody" in done.stderr
    assert not list(folder.iterdir())


def test_no_key_stands_in_the_store(alone: Environment) -> None:
    key = told(alone, "create", "--name", "x")["key"]
    for file in Path(alone["DATA_DIR"]).iterdir():
        content = file.read_bytes()
        assert key.encode() not in content
        assert key[11:].encode() not in content
        assert SECRET_KEY.encode() not in content
