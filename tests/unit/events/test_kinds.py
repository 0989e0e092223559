"""The table of kinds holds together, and says all that there is to be said of what is sent."""

import msgspec
import pytest
from wd_client import errors as client_errors

from clients.write_kinds import ROOT, WRITTEN
from wd_server.events import encoding, event, kinds
from wd_server.events.kinds import EVENTS, EventKind
from wd_server.events.meanings import MEANINGS
from wd_server.events.schema import codes

each_kind = pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.name)


@pytest.mark.parametrize("path", WRITTEN)
def test_what_clients_have_is_what_the_table_gives(path: str) -> None:
    assert (ROOT / path).read_text() == WRITTEN[path](), "run `make docs`"


def test_each_kind_has_a_row_of_its_own() -> None:
    assert len({kind.name for kind in EVENTS}) == len({kind.data for kind in EVENTS}) == len(EVENTS)
    assert {kind.data for kind in EVENTS} >= set(event.Event.__subclasses__())
    assert {kinds.TRADE, kinds.TRADES, kinds.COMPLETE, kinds.RETRACT} <= set(kinds.BY_NAME)


@each_kind
def test_what_is_counted_is_stored_and_what_is_stored_has_an_id(kind: EventKind) -> None:
    assert kind.has_id or not kind.stored
    assert kind.stored or not kind.counted
    assert kind.scope == "wallet" or not kind.has_id


@each_kind
def test_each_field_has_a_meaning_and_a_counted_event_its_number(kind: EventKind) -> None:
    fields = {each.encode_name for each in msgspec.structs.fields(kind.data)}
    assert fields == set(MEANINGS[kind.data.__name__])
    assert ("number" in fields) == kind.counted
    assert kind.added <= fields


def test_a_frame_has_the_name_that_the_table_gives_its_data() -> None:
    frame = encoding.frame(event.Heartbeat(7))
    assert frame == b'event: heartbeat\ndata: {"timestamp":7}\n\n'


def test_the_python_client_knows_no_code_that_the_server_has_not() -> None:
    assert set(codes()) >= client_errors.NOT_ALLOWED_CODES
