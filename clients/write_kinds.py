"""Writes what clients have to know of events, from the server's table of kinds (`make docs`).

Clients are installed where the server isn't, so they can't import the table. What is written stands
in the tree: dataclasses for Python, interfaces for TypeScript, and what the page listens to.
"""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
from msgspec import Struct, UnsetType

from wd_server.events import event
from wd_server.events.kinds import BY_DATA, EVENTS, LASTING, EventKind
from wd_server.events.meanings import MEANINGS
from wd_server.events.schema import codes

ROOT: Final = Path(__file__).resolve().parents[1]
LINE: Final = 100  # characters

# What types are called by clients, where it is something else than on the server.
NAMES: Final = {"TokenAmount": "Token"}
# TypeScript has an `Error` already.
TS_NAMES: Final = NAMES | {"Error": "ErrorData"}
TS_TYPES: Final = {
    str: "string",
    int: "number",
    float: "number",
    Decimal: "number",
    bool: "boolean",
    NoneType: "null",
}
# Words that have a type of their own.
WORDS: Final = {
    "Step": get_args(event.Step),
    "GapReason": get_args(event.GapReason),
    "ByeReason": get_args(event.ByeReason),
    "Code": tuple(codes()),
}
# What the Python client does itself.
PYTHON_NOTES: Final = {
    "error": "`stream` raises it, or waits and comes back, and doesn't yield it.",
    "gap": "With the reason `mismatch` the client made it: what came isn't what the server proves.",
}
PYTHON_FIELDS: Final = {
    "complete": (
        "verified: bool = False",
        "`verified`: The client has compared `entries` and `digest` with what came, from the "
        "beginning of the history; and `entries_all` and `digest_all`, where movements are read.",
    )
}


class Field(NamedTuple):
    """A field of what is sent: its name in Python and on the wire, its type, whether it may be
    missing, and what it means."""

    name: str
    wire: str
    type: Any
    optional: bool
    meaning: str


def fields_of(struct: type[Struct]) -> Iterator[Field]:
    kind = BY_DATA.get(struct)
    for each in msgspec.structs.fields(struct):
        type_: Any = each.type
        if type_ is Decimal and each.name.endswith(event.USD_SUFFIX):
            type_ = Decimal | None  # with `skip_pricing`
        if struct.__struct_config__.omit_defaults and each.default is None:
            type_ = _alternatives(type_)[0]  # it is left out, and never null
        added = kind is not None and each.name in kind.added
        meaning = MEANINGS[struct.__name__][each.encode_name]
        yield Field(each.name, each.encode_name, type_, added or not each.required, meaning)


def structs() -> Iterator[type[Struct]]:
    """All that is sent, each behind what it refers to."""
    found: dict[type[Struct], None] = {}

    def add(struct: type[Struct]) -> None:
        for inner in msgspec.structs.fields(struct):
            for part in _parts(inner.type):
                if part not in found:
                    add(part)
        found[struct] = None

    for kind in EVENTS:
        add(kind.data)
    return iter(found)


def _parts(hint: Any) -> Iterator[type[Struct]]:
    if isinstance(hint, type) and issubclass(hint, Struct):
        yield hint
    for inner in get_args(hint):
        yield from _parts(inner)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    found = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return tuple(each for each in found if each is not UnsetType)


# Python.


def python() -> str:
    return "\n".join(_python()) + "\n"


def _python() -> Iterator[str]:
    yield '"""The kinds of events, and the data of each as dataclasses.\n'
    yield "Written from the server's table of events by `make docs`: don't edit it."
    yield '"""\n'
    yield "from collections.abc import Mapping"
    yield "from dataclasses import dataclass, field"
    yield "from decimal import Decimal"
    yield "from typing import Final\n"
    yield "from wd_client.base import Event\n"
    for kind in EVENTS:
        yield f'{kind.name.upper()}: Final = "{kind.name}"'
    yield "\n# Entries of the wallet's journal."
    yield from _python_set("STORED", [kind for kind in EVENTS if kind.stored])
    yield "# Entries that have a `number`, and that the digest of a `complete` proves."
    yield from _python_set("COUNTED", [kind for kind in EVENTS if kind.counted])
    yield "# Entries that its `digest_all` proves."
    yield from _python_set("CHAINED", [kind for kind in EVENTS if kind.name in LASTING])
    yield "# Events with an id, which moves a client's position."
    yield from _python_set("WITH_ID", [kind for kind in EVENTS if kind.has_id])
    for struct in structs():
        yield from _python_class(struct)
    yield "\n\nEVENTS: Final[Mapping[str, type[Event]]] = {"
    for kind in EVENTS:
        yield f"    {kind.name.upper()}: {kind.data.__name__},"
    yield "}"


def _python_set(name: str, kinds: Sequence[EventKind]) -> Iterator[str]:
    yield f"{name}: Final = frozenset({{{', '.join(kind.name.upper() for kind in kinds)}}})"


def _python_class(struct: type[Struct]) -> Iterator[str]:
    kind = BY_DATA.get(struct)
    base = "" if kind is None else "(Event)"
    # Each event has one.
    fields = [each for each in fields_of(struct) if kind is None or each.name != "wallet"]
    yield "\n\n@dataclass(frozen=True, slots=True, kw_only=True)"
    yield f"class {NAMES.get(struct.__name__, struct.__name__)}{base}:"
    own, meaning = PYTHON_FIELDS.get(kind.name, ("", "")) if kind is not None else ("", "")
    about = [f"{kind.about} {PYTHON_NOTES.get(kind.name, '')}".rstrip()] if kind is not None else []
    meanings = [f"`{each.name}`: {_none(each.meaning)}" for each in fields]
    yield from _docstring(about, [*meanings, meaning] if meaning else meanings)
    for each in fields:
        yield f"    {each.name}: {_python_field(each)}"
    if own:
        yield f"    {own}"


def _docstring(about: Sequence[str], meanings: Sequence[str]) -> Iterator[str]:
    first, *rest = [*about, *([""] if about else []), *meanings]
    lines = _wrapped(first, "    ", first='    """')
    for text in rest:
        lines += _wrapped(text, "    ") or [""]
    yield from lines[:-1]
    yield f'{lines[-1]}\n    """\n' if len(lines) > 1 else f'{lines[-1]}"""\n'


def _python_field(each: Field) -> str:
    type_ = python_type(each.type)
    if each.optional and "None" not in type_:
        type_ += " | None"
    if each.name != each.wire:
        default = "default=None, " if each.optional else ""
        return f'{type_} = field({default}metadata={{"name": "{each.wire}"}})'
    return f"{type_} = None" if each.optional else type_


def python_type(hint: Any) -> str:
    found = _alternatives(hint)
    if len(found) > 1:
        return " | ".join(map(python_type, found))
    (hint,) = found
    if get_origin(hint) is Literal:
        return "str"
    if get_origin(hint) is Mapping:
        return f"dict[str, {python_type(get_args(hint)[1])}]"
    if get_args(hint):
        return f"tuple[{python_type(get_args(hint)[0])}, ...]"
    return "None" if hint is NoneType else NAMES.get(hint.__name__, hint.__name__)


def _none(text: str) -> str:
    return re.sub(r"\bnull\b", "None", text)


# TypeScript.


def typescript() -> str:
    return "\n".join(_typescript()) + "\n"


def _typescript() -> Iterator[str]:
    yield "/** The kinds of events, and the data of each. A field that not every server sends is"
    yield " * optional."
    yield " *"
    yield " * Written from the server's table of events by `make docs`: don't edit it. */\n"
    for name, words in WORDS.items():
        yield f"export type {name} ="
        yield "\n".join(f'  | "{word}"' for word in words) + ";\n"
    for struct in structs():
        yield from _interface(struct)
    yield "/** Data by the name of the event. `wallet` names one of several. */"
    yield "export interface DataByKind {"
    for kind in EVENTS:
        several = " & { wallet?: string }" if kind.scope == "wallet" else ""
        yield f"  {kind.name}: {_ts_name(kind.data)}{several};"
    yield "}\n"
    yield "/** Entries that have a `number`, and that the digest of a `complete` proves. */"
    counted = ", ".join(f'"{kind.name}"' for kind in EVENTS if kind.counted)
    yield f"export const COUNTED: ReadonlySet<string> = new Set([{counted}]);"
    yield "/** Entries that its `digest_all` proves. */"
    chained = ", ".join(f'"{kind.name}"' for kind in EVENTS if kind.name in LASTING)
    yield f"export const CHAINED: ReadonlySet<string> = new Set([{chained}]);"


def _interface(struct: type[Struct]) -> Iterator[str]:
    kind = BY_DATA.get(struct)
    if kind is not None:
        yield from _comment(kind.about, "")
    yield f"export interface {_ts_name(struct)} {{"
    for each in fields_of(struct):
        yield from _comment(each.meaning, "  ")
        yield f"  {each.wire}{'?' if each.optional else ''}: {ts_type(each.type)};"
    yield "}\n"


def _comment(text: str, indent: str) -> Iterator[str]:
    *lines, last = _wrapped(text, f"{indent} * ", first=f"{indent}/** ", width=LINE - 3)
    yield from lines
    yield f"{last} */"


def _union(words: Sequence[str]) -> str:
    return " | ".join(f'"{word}"' for word in words)


def _ts_name(struct: type[Struct]) -> str:
    return TS_NAMES.get(struct.__name__, struct.__name__)


def ts_type(hint: Any) -> str:
    found = _alternatives(hint)
    if len(found) > 1:
        return " | ".join(map(ts_type, found))
    (hint,) = found
    if get_origin(hint) is Literal:
        words = get_args(hint)
        named = [name for name, those in WORDS.items() if those == words]
        return named[0] if named else _union(words)
    if get_origin(hint) is Mapping:
        return f"Record<string, {ts_type(get_args(hint)[1])}>"
    if get_args(hint):
        return f"{ts_type(get_args(hint)[0])}[]"
    return TS_TYPES.get(hint) or _ts_name(hint)


# The page.


def page() -> str:
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield "// The kinds of events, and words that stand in them."
    yield "// Written from the server's table of events by `make docs`: don't edit it.\n"
    words = {"Kind": tuple(kind.name for kind in EVENTS), **WORDS}
    for name, those in words.items():
        yield from _comment(f"@typedef {{{_union(those)}}} {name}", "")
    yield "\n/** Whether events of a kind have an id, which moves the position."
    yield " * @type {Record<Kind, boolean>} */"
    yield "export const HAS_ID = {"
    for kind in EVENTS:
        yield f"  {kind.name}: {str(kind.has_id).lower()},"
    yield "};"


def _wrapped(text: str, indent: str, *, first: str | None = None, width: int = LINE) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


WRITTEN: Final = {
    "clients/python/wd_client/kinds.py": python,
    "clients/ts/src/kinds.ts": typescript,
    "handlers/web/kinds.js": page,
}

if __name__ == "__main__":
    for path, write in WRITTEN.items():
        (ROOT / path).write_text(write())
