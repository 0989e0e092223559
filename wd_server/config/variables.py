"""One environment variable: what its text may be and what it becomes."""

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from wd_server.secret import Secret

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_YES = frozenset({"true", "1", "yes", "on"})
_NO = frozenset({"false", "0", "no", "off"})
# RFC 1123: letters, digits and hyphens, at most 63 a label.
_HOSTNAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*\.?")
_SHOWN_CHARS = 60  # of a wrong value: enough to recognise it, too little to fill a screen

_PAGE_HEAD = """\
# Settings

Environment variables, read once at the start. `wd-server --check` says what is wrong with them and
exits; every wrong one is named at once. An empty variable counts as not set. Times are in seconds
unless the meaning says otherwise. `--host`, `--port` and `--data-dir` come before the environment,
and that before a file of `--env-file`, which looks like `conf/env.example`.

Written from `wd_server/config/settings.py` by `make docs`.
"""
_EXAMPLE_HEAD = """\
# Settings of wd-server for `--env-file`: one NAME=value a line. Nothing in a value is expanded.
# It will hold keys, so only its owner may write to it, and only the server's user may read it: mode
# 0640 with that user's group if it belongs to root, otherwise mode 0600. The lines that are not
# commented out are those that production needs. `make docs` writes this file from
# wd_server/config/settings.py.
"""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Others(Protocol):
    """The settings that were read before this one, by their names in lower case."""

    def __getitem__(self, name: str, /) -> Any: ...


class Wrong(ValueError):
    """Text that isn't allowed, with the reason: what follows "It". Never the text itself, which may
    be secret."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[T_co]):
    """`parse` raises ValueError for text that isn't `allowed`, a phrase for people."""

    allowed: str
    parse: Callable[[str], T_co]
    confidential: bool = False


@dataclass(frozen=True, slots=True)
class Derived:
    """A default that depends on settings read before: in words, and as text (None: not set)."""

    words: str
    text: Callable[[Others], str | None]


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    kind: Kind[object]
    default: str | Derived | None
    meaning: str
    needed_in_production: bool = False

    @property
    def default_words(self) -> str:
        """The default as Markdown."""
        if isinstance(self.default, Derived):
            return self.default.words
        return f"`{self.default}`" if self.default else "not set"

    def default_text(self, others: Others) -> str | None:
        return self.default.text(others) if isinstance(self.default, Derived) else self.default

    def complaint(self, text: str, error: ValueError) -> str:
        """Why `text` won't do. A secret is never repeated."""
        shown = "what it is set to" if self.kind.confidential else repr(text[:_SHOWN_CHARS])
        reason = f" It {error}." if isinstance(error, Wrong) else ""
        return f"{self.name}: {shown} is not {self.kind.allowed}.{reason}"


def whole(least: int, most: int) -> Kind[int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))):
            raise ValueError
        number = int(text)
        if not least <= number <= most:
            raise ValueError
        return number

    return Kind(f"a whole number from {least} to {most}", parse)


def one_of(*choices: str) -> Kind[Any]:
    """`Any`, because the caller's field says which `Literal` it is."""

    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError
        return text.lower()

    return Kind(f"one of {', '.join(choices)}", parse)


def url(*schemes: str) -> Kind[Secret]:
    """An absolute URL. A Secret, since upstreams take their keys in it."""

    def parse(text: str) -> Secret:
        parts = urlsplit(text)
        if parts.scheme not in schemes or not parts.hostname or not _is_visible(text):
            raise ValueError
        if parts.port == 0 or parts.fragment:
            raise ValueError
        return Secret(text)

    beginnings = " or ".join(f"{scheme}://" for scheme in schemes)
    return Kind(f"a URL that begins with {beginnings}", parse, confidential=True)


def path() -> Kind[Path]:
    def parse(text: str) -> Path:
        if "\0" in text:
            raise ValueError
        try:
            return Path(text).expanduser()
        except RuntimeError:  # ~ of a user that there isn't
            raise ValueError from None

    return Kind("a folder's path", parse)


def file() -> Kind[Path]:
    return Kind("a file's path", path().parse)


def name(most: int) -> Kind[str]:
    """Something that others spell in the same way: compared as it stands."""

    def parse(text: str) -> str:
        if not _is_visible(text) or len(text) > most:
            raise ValueError
        return text

    return Kind(f"up to {most} visible ASCII characters without spaces", parse)


def yes_no() -> Kind[bool]:
    def parse(text: str) -> bool:
        if text.lower() not in _YES | _NO:
            raise ValueError
        return text.lower() in _YES

    return Kind("true or false", parse)


def host() -> Kind[str]:
    def parse(text: str) -> str:
        try:
            return str(ipaddress.ip_address(text.strip("[]")))
        except ValueError:
            if not _HOSTNAME.fullmatch(text) or text.replace(".", "").isdigit():
                raise
            return text

    return Kind("an IP address or a host name", parse)


def origins() -> Kind[tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        return tuple(_origin(item) for item in _items(text))

    return Kind(
        "a list of origins, each a scheme and a host without a path, as in "
        "https://example.org,http://localhost:8080",
        parse,
    )


def networks() -> Kind[tuple[Network, ...]]:
    def parse(text: str) -> tuple[Network, ...]:
        return tuple(ipaddress.ip_network(item) for item in _items(text))

    return Kind("a list of addresses or networks, as in 10.0.0.0/8,fd00::/8,192.0.2.7", parse)


def secret() -> Kind[Secret]:
    def parse(text: str) -> Secret:
        if not text.isprintable():
            raise ValueError
        return Secret(text)

    return Kind("text without control characters", parse, confidential=True)


def key() -> Kind[Secret]:
    """One that stands in a URL as it is."""

    def parse(text: str) -> Secret:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
            raise ValueError
        return Secret(text)

    return Kind("letters, digits, hyphens and underscores", parse, confidential=True)


def _is_visible(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _origin(text: str) -> str:
    parts = urlsplit(text)
    host, port = parts.hostname, parts.port  # port: ValueError beyond 65535
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise ValueError
    if parts.path or parts.query or parts.fragment or not _is_visible(text):
        raise ValueError
    name = f"[{host}]" if ":" in host else host
    # As browsers send it: in lower case, without the scheme's own port.
    standard = port in (None, {"http": 80, "https": 443}[parts.scheme])
    return f"{parts.scheme}://{name}" if standard else f"{parts.scheme}://{name}:{port}"


def page(variables: Iterable[Variable]) -> str:
    """A page of Markdown with a table."""
    rows = [_PAGE_HEAD, "| variable | default | allowed | meaning |", "|---|---|---|---|"]
    for v in variables:
        needed = " **Needed in production.**" if v.needed_in_production else ""
        rows.append(f"| `{v.name}` | {v.default_words} | {v.kind.allowed} | {v.meaning}{needed} |")
    return "\n".join(rows) + "\n"


def example(variables: Iterable[Variable]) -> str:
    """A file of NAME=value lines, commented out but for what production needs."""
    blocks = [_EXAMPLE_HEAD]
    for v in variables:
        shown = v.default if isinstance(v.default, str) else ""
        mark = "" if v.needed_in_production else "#"
        blocks.append(f"# {v.meaning}\n# Allowed: {v.kind.allowed}.\n{mark}{v.name}={shown}\n")
    return "\n".join(blocks)
