"""`bin/wd-keys`: make, list, take back and replace API keys."""

import argparse
import asyncio
import json
import os
import pwd
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wd_server import __version__
from wd_server.access import key_words
from wd_server.access.keyring import KeyProblem, KeyRequest, Keyring, NewKey
from wd_server.access.keys import ApiKey, SigningKeys
from wd_server.access.secret_file import signing_keys
from wd_server.backend import Backend
from wd_server.backend_choice import STORE_VARIABLES, choose_backend
from wd_server.config import env_file
from wd_server.config.settings import InvalidSettings, Settings
from wd_server.errors import StoreUnavailable
from wd_server.tasks import Tasks

# Exit codes: refused, or no such key; argparse's own; the store doesn't answer; the settings are
# wrong (sysexits.h).
EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 69
EXIT_CONFIG = 78

# How long the old key is valid beside the new one unless --overlap says otherwise.
OVERLAP = "24h"
# Characters: wider than a name of the most characters needs.
TABLE_WIDTH_MAX = 400
# The settings that matter to keys; the others may be missing from the environment.
VARIABLES = ("ENV", *STORE_VARIABLES, "SECRET_KEY", "SECRET_KEY_OLD", "TOKEN_ISSUER")

_EPILOG = """\
Uses the store that the server uses: REDIS_URL, else DATA_DIR, and SECRET_KEY, from the environment
or --env-file. A running server knows of every change within two seconds. Exit codes: 0 done,
1 refused, 2 wrong arguments, 69 the store doesn't answer, 78 wrong settings.
"""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        settings = _settings({**env_file.read(arguments.env_file), **os.environ})
        backend = choose_backend(settings, Tasks())
        _refuse_wrong_user(settings, backend)
        return asyncio.run(_run(arguments, settings, backend))
    except InvalidSettings as error:
        return _complain(str(error), EXIT_CONFIG)
    except KeyProblem as error:
        return _complain(error.message, EXIT_REFUSED)
    except StoreUnavailable as error:
        return _complain(f"{error.message} ({backend.place})", EXIT_UNAVAILABLE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wd-keys",
        description="Makes, lists, revokes and replaces API keys of wd-server.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"wd-server {__version__}")
    parser.add_argument(
        "--env-file", type=Path, metavar="FILE", help="the server's settings, NAME=value a line"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, help_text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help_text, description=help_text, allow_abbrev=False)
        added.add_argument("--json", action="store_true", help="for scripts")
        return added

    _add_limits(command("create", "Make a key. It is shown once."))
    listing = command("list", "List the keys that are valid.")
    listing.add_argument("--all", action="store_true", help="those that ended, too")
    for name, help_text in (
        ("show", "Show one key."),
        ("revoke", "Take a key back at once, with its tokens and streams."),
        ("rotate", "Make a new key in place of one, which stays valid for a while."),
    ):
        one = command(name, help_text)
        one.add_argument("id", help="the first 11 characters of the key, as `list` shows them")
        if name == "rotate":
            one.add_argument(
                "--overlap",
                type=key_words.duration,
                default=OVERLAP,
                metavar="TIME",
                help=f"how long both are valid, as 30m or 7d ({OVERLAP})",
            )
    _add_token(command("revoke-token", "Take one token back at once, with its streams."))
    return parser


def _add_token(revoke: argparse.ArgumentParser) -> None:
    revoke.add_argument(
        "--issuer",
        type=key_words.issuer,
        metavar="ISS",
        help="the token's claim `iss`, where it isn't this server's own",
    )
    revoke.add_argument("jti", help="the token's claim `jti`; after -- if it begins with a dash")


def _add_limits(create: argparse.ArgumentParser) -> None:
    create.add_argument("--name", required=True, type=key_words.name, help="whose it is")
    create.add_argument(
        "--streams", type=key_words.streams, metavar="N", help="open streams (0: no limit)"
    )
    create.add_argument(
        "--requests", type=key_words.requests, metavar="N", help="requests a minute (0: no limit)"
    )
    create.add_argument(
        "--credits",
        type=key_words.credits_a_day,
        metavar="N",
        help="credits at the Solana RPC a day (UTC) for wallets that have to be read (0: no limit)",
    )
    create.add_argument(
        "--wallets", type=key_words.wallets, metavar="A,B", help="the only ones that it may read"
    )
    create.add_argument(
        "--expires", type=key_words.end, metavar="WHEN", help="30d, or 2030-12-31 (UTC)"
    )


def _settings(environ: Mapping[str, str]) -> Settings:
    chosen = {name: environ[name] for name in VARIABLES if name in environ}
    return Settings.from_environment({"HELIUS_KEY": "unused", **chosen})


def _refuse_wrong_user(settings: Settings, backend: Backend) -> None:
    """Raises KeyProblem for root: the server couldn't open files that root makes in its folder."""
    stores_there = "disk" in backend.health().needed
    if stores_there and os.geteuid() == 0 and settings.data_dir.is_dir():
        owner = settings.data_dir.stat().st_uid
        if owner != 0:
            try:
                user = pwd.getpwuid(owner).pw_name
            except KeyError:
                user = f"#{owner}"
            raise KeyProblem(
                f"{settings.data_dir} belongs to {user}, and root would leave files there that the "
                f"server can't open. Run this as that user: sudo -u {user} …"
            )


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"wd-keys: {message}\n")
    return code


async def _run(arguments: argparse.Namespace, settings: Settings, backend: Backend) -> int:
    keys = signing_keys(settings)
    try:
        await backend.open_keys()
        one = _Command(arguments, settings, keys, backend)
        command = getattr(one, arguments.command.replace("-", "_"))
        await command()
    finally:
        await backend.close()
    return 0


class _Command:
    """Runs one command. Its methods are named like the commands."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        settings: Settings,
        keys: SigningKeys,
        backend: Backend,
    ) -> None:
        self._arguments = arguments
        self._settings = settings
        self._keys = keys
        self._place = backend.place
        self._ring = Keyring(backend.keys, keys.current)
        self._now = time.time()
        self._console = Console(highlight=False, soft_wrap=True)

    async def create(self) -> None:
        a = self._arguments
        new = await self._ring.create(
            KeyRequest(
                a.name, a.streams, a.requests, a.wallets or None, self._expiry(a.expires), a.credits
            ),
            self._now,
        )
        self._show_new(new)

    async def list(self) -> None:
        keys = [
            key for key in await self._ring.all() if self._arguments.all or key.is_live(self._now)
        ]
        if self._arguments.json:
            self._print_json([self._json(key) for key in keys])
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in (
            "id",
            "name",
            "state",
            "streams",
            "requests",
            "credits",
            "wallets",
            "created",
            "expires",
        ):
            table.add_column(title, no_wrap=True)
        for key in keys:
            cells = (
                key.id,
                key.name,
                key_words.state(key, self._now),
                key_words.limit(key.streams),
                key_words.limit(key.requests),
                key_words.limit(key.credits or 0),
                key_words.wallet_count(key),
                (key_words.moment(key.created_at) or "")[:10],
                (key_words.moment(key.expires_at) or "never")[:16],
            )
            table.add_row(*map(Text, cells))
        # As wide as its longest row, also where that is wider than the terminal: ids and names
        # that are cut off are of no use.
        width = Console(width=TABLE_WIDTH_MAX).measure(table).maximum
        Console(highlight=False, width=width).print(table)
        self._say(f"{len(keys)} keys in {self._place}")

    async def show(self) -> None:
        self._show(await self._ring.find(self._arguments.id))

    async def revoke(self) -> None:
        self._show(await self._ring.revoke(self._arguments.id, self._now))

    async def rotate(self) -> None:
        self._show_new(
            await self._ring.rotate(self._arguments.id, self._arguments.overlap, self._now)
        )

    async def revoke_token(self) -> None:
        jti, issuer = self._arguments.jti, self._arguments.issuer
        own = self._settings.token_issuer
        # Another issuer may have this server's name.
        for each in dict.fromkeys((issuer, None if issuer == own else issuer)):
            await self._ring.revoke_token(jti, self._now, each)
        if self._arguments.json:
            self._print_json({"jti": jti, "issuer": issuer or own, "state": "revoked"})
        else:
            self._say(f"Revoked in {self._place}: a token of {issuer or own}.")

    def _expiry(self, given: tuple[bool, float] | None) -> float | None:
        if given is None:
            return None
        is_duration, seconds = given
        expires_at = self._now + seconds if is_duration else seconds
        if expires_at <= self._now:
            raise KeyProblem("--expires is in the past: nobody could use the key.")
        return expires_at

    def _json(self, key: ApiKey) -> dict[str, Any]:
        return key_words.as_json(key, self._keys, self._now)

    def _show(self, key: ApiKey) -> None:
        if self._arguments.json:
            self._print_json(self._json(key))
            return
        for label, value in key_words.lines(key, self._keys, self._now):
            self._say(f"{label + ':':<19}{value}")
        self._say(f"{'Kept in:':<19}{self._place}")

    def _show_new(self, new: NewKey) -> None:
        if self._arguments.json:
            self._print_json(self._json(new.key) | {"key": new.text.reveal()})
            return
        self._say(f"{'Key:':<19}{new.text.reveal()}", style="bold")
        self._say(f"{'':<19}Keep it now: it isn't stored and can't be shown again.\n")
        self._show(new.key)

    def _say(self, text: str, style: str | None = None) -> None:
        self._console.print(Text(text), style=style)

    def _print_json(self, value: Any) -> None:
        sys.stdout.write(json.dumps(value, indent=2) + "\n")
