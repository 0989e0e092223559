"""The types of `wd_client` against what the server sends: the two share no code."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import msgspec
import pytest
from msgspec import Struct
from wd_client.events import EVENTS, ErrorDetails, Event, RunMetrics, Token, Trade

from wd_server.events import event
from wd_server.trading.summary import Summary
from wd_server.trading.trade import TokenAmount
from wd_server.trading.trade import Trade as SentTrade


def sent() -> Iterator[tuple[type[Any], type[Struct]]]:
    """Types of the client and what the server makes them of."""
    yield Trade, SentTrade
    yield Token, TokenAmount
    yield RunMetrics, event.RunMetrics
    yield ErrorDetails, event.ErrorDetails
    yield EVENTS["summary"], Summary
    for kind in event.Event.__subclasses__():
        yield EVENTS[kind.__name__.lower()], kind


@pytest.mark.parametrize(("kind", "struct"), list(sent()))
def test_the_client_knows_every_field_that_the_server_sends(
    kind: type[Any], struct: type[Struct]
) -> None:
    ours = {each.metadata.get("name", each.name) for each in fields(kind)}
    ours -= {each.name for each in fields(Event)} | {"verified"}
    theirs = {each.encode_name for each in msgspec.structs.fields(struct)} - {"wallet"}
    assert ours == theirs
