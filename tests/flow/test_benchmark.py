"""The benchmark's contenders deliver what its clients count, and its clients miss nothing."""

import pytest

from bench.contenders import FLOOR, TORNADO, WD, Kind
from bench.readers import Readers

READERS = 7
BURST = 50


# The other rivals need more than the tests install; a bench fails if one of them loses an event.
@pytest.mark.parametrize("kind", [WD, FLOOR, TORNADO], ids=lambda kind: kind.name)
def test_a_contender_delivers_every_event_to_every_reader(kind: Kind):
    with kind.start() as server, Readers() as readers:
        opened = readers.open(server.port, READERS, [server.path], server.headers)
        assert opened.streams == readers.open_streams == READERS
        used = server.cpu().total
        assert server.publish(0) == 1
        assert server.publish(0, BURST) == BURST
        readers.receive((1 + BURST) * READERS)
        assert server.cpu().total >= used
        assert server.resident() > 1_000_000


def test_readers_say_what_a_server_answers_that_refuses_them():
    with (
        TORNADO.start() as server,
        Readers() as readers,
        pytest.raises(AssertionError, match="404"),
    ):
        readers.open(server.port, 1, ["/elsewhere"])
