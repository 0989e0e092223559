"""`bin/wd-webhook`: the webhook at Helius that delivers to this server, and what couldn't be worked
on of its deliveries."""

import argparse
import os
import sys
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from wd_server import __version__
from wd_server.chain.followed_wallets import FILE_NAME
from wd_server.chain.quarantine import FOLDER_NAME, Quarantine, Quarantined
from wd_server.config import env_file
from wd_server.config.settings import InvalidSettings, Settings
from wd_server.errors import InvalidWallet, UpstreamError
from wd_server.secret import Secret
from wd_server.trading.wallet import WalletAddress
from wd_tools.webhook.registrations import Registrations, Webhook
from wd_tools.webhook.replay import DeliveryRefused, replay

# Exit codes: refused, or no such webhook; argparse's own; Helius or the server doesn't answer; the
# settings are wrong (sysexits.h).
EXIT_REFUSED = 1
EXIT_UNAVAILABLE = 69
EXIT_CONFIG = 78

# The settings of the server that matter here; the others aren't asked for.
VARIABLES = ("DATA_DIR", "HELIUS_KEY", "HELIUS_API_URL", "WEBHOOK_SECRET")

_EPILOG = f"""\
Reads HELIUS_KEY or HELIUS_API_URL, WEBHOOK_SECRET and DATA_DIR from the environment or --env-file.
Wallets are those of the files, otherwise those that the server here follows now
(DATA_DIR/{FILE_NAME}). Each call to Helius costs 100 credits; `quarantine` and `replay` make none
and need no HELIUS_KEY. Exit codes: 0 done, 1 refused, 2 wrong arguments, 69 Helius or the server
doesn't answer, 78 wrong settings.
"""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        environ = {**env_file.read(arguments.env_file), **os.environ}
        chosen = {name: environ[name] for name in VARIABLES if name in environ}
        return _run(arguments, Settings.from_environment(chosen))
    except InvalidSettings as error:
        return _complain(str(error), EXIT_CONFIG)
    except (InvalidWallet, OSError) as error:
        return _complain(str(error), EXIT_REFUSED)
    except UpstreamError as error:
        return _complain(error.message, EXIT_REFUSED if error.status == 502 else EXIT_UNAVAILABLE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wd-webhook",
        description="Creates, lists, syncs and deletes the webhook at Helius, and replays "
        "deliveries that the server couldn't work on.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"wd-server {__version__}")
    parser.add_argument(
        "--env-file", type=Path, metavar="FILE", help="the server's settings, NAME=value a line"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="List the webhooks of this key.")
    for name, text in (
        ("create", "Make a webhook for the wallets."),
        ("sync", "Have the webhook be for these wallets; make it if there is none."),
    ):
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.add_argument(
            "url", help="where to deliver to: this server's https://…/v4/webhooks/helius"
        )
        command.add_argument(
            "--type", choices=("raw", "enhanced"), default="raw", help="(default: raw)"
        )
        command.add_argument(
            "--wallets",
            action="append",
            type=Path,
            metavar="FILE",
            help="an address a line; may be repeated, `-` is standard input",
        )
    delete = commands.add_parser("delete", help="Delete a webhook.")
    delete.add_argument("id", help="its id, as `list` shows it")
    _add_quarantine(commands)
    return parser


def _add_quarantine(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    commands.add_parser("quarantine", help="List the deliveries that the server set aside.")
    text = "Deliver what the server set aside once more, and remove it from the quarantine."
    again = commands.add_parser("replay", help=text, description=text, allow_abbrev=False)
    again.add_argument("url", help="where to deliver to: http://127.0.0.1:5000/v4/webhooks/helius")
    again.add_argument(
        "names",
        nargs="*",
        default=[],
        metavar="NAME",
        help="as `quarantine` shows them (default: all)",
    )


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    if arguments.command in ("quarantine", "replay"):
        return _quarantine(arguments, settings)
    if settings.helius_api_url is None:
        raise InvalidSettings(["HELIUS_KEY: is needed: whose webhooks these are."])
    registrations = Registrations(settings.helius_api_url)
    if arguments.command == "list":
        for webhook in registrations.all():
            _show(webhook)
        return 0
    if arguments.command == "delete":
        registrations.delete(arguments.id)
        return 0
    if settings.webhook_secret is None:
        raise InvalidSettings(["WEBHOOK_SECRET: is needed: deliveries carry it."])
    secret, kind = settings.webhook_secret, arguments.type
    wallets = _wallets(arguments.wallets or [settings.data_dir / FILE_NAME])
    known = [each for each in registrations.all() if each.url == arguments.url]
    if not known:
        _show(registrations.create(arguments.url, secret, kind, wallets))
    elif arguments.command == "create":
        return _complain(f"There is one for this URL: {known[0].id}. Sync it.", EXIT_REFUSED)
    elif set(known[0].wallets) != wallets or known[0].kind != kind or not known[0].active:
        _show(registrations.replace(known[0], secret, kind, wallets))
    else:
        _show(known[0])
    return 0


def _quarantine(arguments: argparse.Namespace, settings: Settings) -> int:
    """Raises OSError, UpstreamError."""
    folder = settings.data_dir / FOLDER_NAME
    kept = Quarantine(folder).all()
    if not kept:
        print(f"Nothing is in {folder}.", file=sys.stderr)
    if arguments.command == "quarantine":
        for each in kept:
            at = datetime.fromtimestamp(each.set_aside, UTC).isoformat(timespec="seconds")
            print(f"{each.path.name} {at} {each.size} bytes")
        return 0
    if settings.webhook_secret is None:
        raise InvalidSettings(["WEBHOOK_SECRET: is needed: deliveries carry it."])
    if not _is_http(arguments.url):
        return _complain(f"{arguments.url} is no http or https URL.", EXIT_REFUSED)
    unknown = set(arguments.names) - {each.path.name for each in kept}
    if unknown:
        return _complain(f"Not in the quarantine: {', '.join(sorted(unknown))}.", EXIT_REFUSED)
    chosen = [each for each in kept if not arguments.names or each.path.name in arguments.names]
    return _replay(chosen, arguments.url, settings.webhook_secret)


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an address, or a port that is no number
        return False


def _replay(chosen: Collection[Quarantined], url: str, secret: Secret) -> int:
    """A delivery that is refused for what is in it doesn't stop those behind it. Raises OSError,
    UpstreamError."""
    code = 0
    for each in chosen:
        try:
            replay(each, url, secret)
        except DeliveryRefused as error:
            code = _complain(error.message, EXIT_REFUSED)
        else:
            print(f"{each.path.name} delivered")
    return code


def _wallets(files: Iterable[Path]) -> set[str]:
    """Raises InvalidWallet, OSError."""
    texts = [sys.stdin.read() if str(file) == "-" else file.read_text() for file in files]
    return {str(WalletAddress.parse(word)) for text in texts for word in text.split()}


def _show(webhook: Webhook) -> None:
    state = "" if webhook.active else " (switched off by Helius)"
    print(f"{webhook.id} {webhook.kind} {len(webhook.wallets)} wallets {webhook.url}{state}")


def _complain(message: str, code: int) -> int:
    print(f"wd-webhook: {message}", file=sys.stderr)
    return code
