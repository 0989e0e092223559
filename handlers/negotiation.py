"""What a client takes, by its `Accept` and `Accept-Encoding`. Pure: strings in, values out."""

import re
from typing import Literal

# RFC 9110, section 12.4.2.
_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def takes_html(accept: str) -> bool:
    """Whether a browser asks for a page; what doesn't mind (`*/*`) is a program."""
    return "text/html" in _kinds(accept)


def takes_event_stream(accept: str) -> bool:
    """Whether the client reads an event stream: it says so, or doesn't mind and doesn't ask for
    JSON."""
    kinds = _kinds(accept)
    if "text/event-stream" in kinds:
        return True
    return not any(kind.endswith("json") for kind in kinds)


def accepted_encoding(accept_encoding: str) -> Literal["gzip"] | None:
    """The content coding for who sends this Accept-Encoding (RFC 9110, section 12.5.3); None: send
    it as it is. So is what refuses that too, as the section on 406 allows."""
    weights = dict(map(_weighted, accept_encoding.lower().split(",")))
    rest = weights.get("*", 0.0)
    gzip = weights.get("gzip", weights.get("x-gzip", rest))
    return "gzip" if gzip > 0 and gzip >= weights.get("identity", rest) else None


def _kinds(accept: str) -> set[str]:
    return {part.partition(";")[0].strip().lower() for part in accept.split(",")}


def _weighted(item: str) -> tuple[str, float]:
    """A name and its weight, 1 if it has none, 0 if that can't be read."""
    name, _, parameter = (part.strip() for part in item.partition(";"))
    if not parameter:
        return name, 1.0
    weight = _WEIGHT.fullmatch(parameter)
    return name, float(weight[1]) if weight else 0.0
