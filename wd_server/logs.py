"""Logs: one pipeline for ours and the libraries', without secrets and without forged lines.

Modules take a logger with `structlog.get_logger("name")` and hand in facts as keywords; nothing
is configured until `configure` is called.
"""

import io
import logging
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, Literal, Protocol, TextIO

import msgspec
import structlog
from structlog.typing import EventDict

from wd_server.secret import MASK, Secret

# Characters of one value. A line must stay far below what journald takes in one piece (48 KB).
VALUE_MAX_CHARS = 4096
# Characters of one value that are searched for secrets, which takes up to 3 ms. What lies between
# this and the above is never shown: a secret may be cut there and not be recognised.
SEARCH_MAX_CHARS = 2 * VALUE_MAX_CHARS
# Values inside values are looked at this deep; what lies deeper is shown as its text.
DEPTH_MAX = 4
# Shorter secrets stand in ordinary words too; replacing those would tell the secret.
SECRET_LEAST_CHARS = 8

_SENSITIVE_NAMES = re.compile(
    r"(?i)authorization|cookie|password|secret|(api|access|private)[-_]?(key|token)|^(key|token)$"
)
# Control characters, line separators, direction overrides and halves of surrogate pairs: what
# could end a line, move a cursor, show another text than there is, or not be encoded.
_UNPRINTABLE = re.compile(
    r"[\0-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
# Every pattern begins where it can't begin again within its own match, so that a long hostile
# text takes linear time.
_PATTERNS: Final = (
    (re.compile(r"(?i)(?<![a-z])(authorization[\"']?\s{0,3}[:=]\s{0,3})[^\r\n]+"), rf"\1{MASK}"),
    (re.compile(r"(?i)(?<![a-z])(bearer|basic) [^\s\"',]+"), rf"\1 {MASK}"),
    (
        re.compile(
            r"(?i)((?:api|access)[-_]?(?:key|token)[\"']?\s{0,3}(?:[:=]|%3d)\s{0,3}[\"']?)"
            r"[^\s&\"',;)#]+"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(?<![\w-])wd_[A-Za-z0-9_-]{20,}"), f"wd_{MASK}"),
    # A JSON Web Token: base64url of {"… and two dots.
    (re.compile(r"(?<![\w-])eyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?"), MASK),
    (re.compile(r"(://[^\s/:@]{0,256}:)[^\s/@]+@"), rf"\1{MASK}@"),
)
# What every pattern above needs to match at all, so that most texts are searched once, not eight
# times; `_UNPRINTABLE` and the known secrets come with it.
_NEEDED = r"(?i:authorization|bearer |basic |(?:api|access)[-_]?(?:key|token))|wd_|eyJ|://"
# Tornado puts the request line into its messages.
_QUERY = re.compile(r"\?[^\s'\",)]+")


class AccessedHandler(Protocol):
    """What `log_request` needs of a `tornado.web.RequestHandler`."""

    request: Any

    def get_status(self) -> int: ...


class Scrubber:
    """A processor: no secrets and no characters that do more than be read, in any value."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        texts = {s.reveal() for s in secrets if len(s.reveal()) >= SECRET_LEAST_CHARS}
        # The longest first, as one may be part of another.
        longest_first = sorted(texts, key=len, reverse=True)
        known = [re.escape(text) for text in longest_first]
        self._known = re.compile("|".join(known)) if known else None
        self._suspect = re.compile("|".join([_NEEDED, _UNPRINTABLE.pattern, *known]))

    def __call__(self, logger: object, method: str, event_dict: EventDict) -> EventDict:
        from_tornado = str(event_dict.get("logger", "")).startswith("tornado")
        trace = event_dict.pop("exception", None)
        clean = {name: self._clean(value, str(name)) for name, value in event_dict.items()}
        if trace is not None:
            clean["exception"] = "\n".join(map(self.text, str(trace).split("\n")))
        if from_tornado:
            clean["event"] = _QUERY.sub(f"?{MASK}", str(clean.get("event")))
        return clean

    def text(self, text: str) -> str:
        length = len(text)
        if length <= VALUE_MAX_CHARS and self._suspect.search(text) is None:
            return text
        text = text[:SEARCH_MAX_CHARS]
        if self._known is not None:
            text = self._known.sub(MASK, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        if length > SEARCH_MAX_CHARS:
            text = text[: -(SEARCH_MAX_CHARS - VALUE_MAX_CHARS)]
        if len(text) > VALUE_MAX_CHARS or length > SEARCH_MAX_CHARS:
            text = f"{text[:VALUE_MAX_CHARS]}… ({length} characters)"
        return _UNPRINTABLE.sub(_escape, text)

    def _clean(self, value: object, name: str, depth: int = 0) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Secret) or _is_sensitive(name):
            return MASK
        if depth < DEPTH_MAX and isinstance(value, Mapping):
            return {self.text(str(k)): self._clean(v, str(k), depth + 1) for k, v in value.items()}
        if depth < DEPTH_MAX and isinstance(value, list | tuple | set | frozenset):
            return [self._clean(item, "", depth + 1) for item in value]
        if isinstance(value, bytes | bytearray):
            value = bytes(value).decode(errors="backslashreplace")
        return self.text(str(value))


def configure(
    level: Literal["debug", "info", "warning", "error"],
    format: Literal["json", "text"],  # noqa: A002 - the setting's own word
    stream: TextIO,
    secrets: Iterable[Secret] = (),
) -> None:
    """Send everything that is logged to `stream`, a line each. A later call replaces an earlier
    one. `secrets` are masked wherever they appear."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    threshold = logging.getLevelNamesMapping()[level.upper()]
    facts: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*facts, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = _Handler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=facts,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,  # the plain traceback: no locals
                Scrubber(secrets),
                render_json if format == "json" else render_text,
            ],
        )
    )
    root = logging.getLogger()
    for earlier in [h for h in root.handlers if isinstance(h, _Handler)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(threshold)


def render_json(logger: object, method: str, event_dict: EventDict) -> str:
    """One object a line; the names that every line has come first."""
    first = {name: event_dict.pop(name, None) for name in ("timestamp", "level", "logger", "event")}
    return msgspec.json.encode({**first, **event_dict}).decode()


def render_text(logger: object, method: str, event_dict: EventDict) -> str:
    """One line, and a traceback below it that is indented so that it can't pass for lines."""
    fact = event_dict.pop
    trace = fact("exception", None)
    line = f"{fact('timestamp')} {fact('level'):<7} {fact('logger')}: {fact('event')}"
    for name, value in event_dict.items():
        shown = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        bare = re.fullmatch(r"[^\s\"=]+", shown)
        line += f" {name}={shown if bare else msgspec.json.encode(value).decode()}"
    if trace is not None:
        line += "".join(f"\n    | {part}" for part in trace.split("\n"))
    return line


def log_request(handler: AccessedHandler) -> None:
    """Tornado's `log_function`: one line a request, without the query, which may hold a key, and
    with whom the key stood for (`Principal.who`)."""
    request = handler.request
    status = handler.get_status()
    log = structlog.get_logger("access")
    write = log.warning if status >= 500 else log.info
    if status < 400 and request.path.startswith(("/health", "/metrics", "/web/")):
        write = log.debug  # probes come every few seconds, a page loads twenty files
    write(
        "request",
        method=request.method,
        path=request.path,
        status=status,
        milliseconds=round(request.request_time() * 1000, 1),
        remote=request.remote_ip,
        who=getattr(getattr(handler, "principal", None), "who", None),
    )


class _Handler(logging.StreamHandler[TextIO]):
    """A type of its own, so that `configure` finds what it installed before."""


@lru_cache(maxsize=512)  # names stand in the code, but for those inside a logged mapping
def _is_sensitive(name: str) -> bool:
    return _SENSITIVE_NAMES.search(name) is not None


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
