import pytest
from wd_client.chain import BEGINNING, link
from wd_client.frame import cut

from wd_tools.load.frames import REMEMBERED_BYTES, Block, Blocks, Frames, Item, Link
from wd_tools.load.frames import parse_block as parse_with


def parse(data: bytes) -> Block:
    return parse_with(data, Frames())


def trade(seq: int, emitted_at: int = 1000, epoch: int = 7) -> bytes:
    data = b'{"signature":"s","dex":"x","emitted_at":%d}' % emitted_at
    return b"id: %d-%d\nevent: trade\ndata: %b\n\n" % (epoch, seq, data)


def batch(seq: int, *emitted_at: int) -> bytes:
    trades = b",".join(b'{"signature":"s","emitted_at": %d}' % each for each in emitted_at)
    data = b'{"trades":[%b],"batch_num":1}' % trades
    return b"id: 7-%d\nevent: trades\ndata: %b\n\n" % (seq, data)


CONNECTED = b'event: connected\ndata: {"resumed":false}\n\n'
HEARTBEAT = b'event: heartbeat\ndata: {"timestamp":1}\n\n'
BYE = b'retry: 1500\nevent: bye\ndata: {"reason":"lifetime","reconnect_after_ms":1500}\n\n'
COMPLETE = b'id: 7-4\nevent: complete\ndata: {"trades_found":3}\n\n'


def test_trades_in_a_row_are_one_step_from_before_them_to_after_them() -> None:
    block = parse(trade(5) + trade(6) + trade(7))
    assert (block.epoch, block.before, block.last) == (b"7", 4, 7)
    assert (block.events, block.trades) == (3, 3)


def test_a_batch_stands_for_as_many_entries_as_it_has_trades() -> None:
    block = parse(batch(6, 10, 20, 30) + batch(8, 30, 40))
    assert (block.epoch, block.before, block.last) == (b"7", 3, 8)
    assert (block.events, block.trades) == (2, 5)
    assert dict(block.emitted) == {10: 1, 20: 1, 30: 2, 40: 1}


@pytest.mark.parametrize(
    "data",
    [
        trade(1) + trade(3),
        trade(2) + trade(2),
        trade(1) + trade(2, epoch=8),
        trade(3) + COMPLETE,
        trade(1) + b"id: 7-2\nevent: retract\ndata: {}\n\n",
        CONNECTED + trade(1),
        b"id: nonsense\nevent: trade\ndata: {}\n\n",
    ],
)
def test_whatever_is_more_than_trades_in_a_row_has_to_be_looked_at(data: bytes) -> None:
    block = parse(data)
    assert block.epoch == b""
    assert block.items


def test_what_neither_moves_nor_steers_a_client_is_only_counted() -> None:
    block = parse(HEARTBEAT + b"event: progress\ndata: {}\n\n")
    assert block == Block(2, 0, (), b"", 0, 0, 0, (), -1)


def test_events_that_steer_keep_their_data_and_the_time_to_come_back() -> None:
    (bye,) = parse(BYE).items
    assert bye.name == "bye"
    assert bye.retry == 1500
    assert b"lifetime" in bye.data


def test_a_retract_takes_a_trade_back_and_is_an_entry_itself() -> None:
    (retract,) = parse(b'id: 7-9\nevent: retract\ndata: {"signature":"s"}\n\n').items
    assert retract == Item("retract", b"7", 9, 1, -1, link=Link(b"7-9", b'{"signature":"s"}'))


def numbered(seq: int, number: int) -> bytes:
    return b'event: trade\ndata: {"number":%d,"emitted_at":1}\nid: 7-%d\n\n' % (number, seq)


def test_trades_whose_numbers_are_in_a_row_are_one_step_whatever_their_ids_skip() -> None:
    block = parse(numbered(5, 3) + numbered(9, 4) + numbered(10, 5))
    assert (block.epoch, block.before, block.last, block.seq) == (b"7", 2, 5, 10)
    assert parse(numbered(5, 3) + numbered(6, 5)).epoch == b""
    assert parse(numbered(5, 3) + numbered(5, 4)).epoch == b""


def test_a_batch_is_numbered_by_its_last_trade() -> None:
    data = b'{"trades":[{"number":3,"emitted_at":1},{"number":4,"emitted_at":1}]}'
    block = parse(b"event: trades\ndata: %b\nid: 7-9\n\n" % data)
    assert (block.before, block.last, block.seq) == (2, 4, 9)


def test_a_complete_is_numbered_by_what_came_before_it_and_counts_as_nothing() -> None:
    (complete,) = parse(b'event: complete\ndata: {"entries":12,"digest":""}\nid: 7-20\n\n').items
    assert (complete.number, complete.entries, complete.link) == (12, 0, None)


def test_a_text_within_a_trade_cannot_pass_for_its_number() -> None:
    data = rb'{"symbol":"\"number\":5","number":1234}'
    (item,) = parse(b"event: trade\ndata: %b\nid: 7-1\n\n" % data).items
    assert item.number == 1234


@pytest.mark.parametrize("event_id", [b"7-" + b"9" * 5000, b"9" * 5000 + b"-1", b"7-", b"-7"])
def test_an_id_or_a_number_of_any_length_is_no_error(event_id: bytes) -> None:
    number = b"9" * 5000
    (item,) = parse(b'event: trade\ndata: {"number":%b}\nid: %b\n\n' % (number, event_id)).items
    assert (item.epoch, item.seq) == (b"", -1)


def test_an_entry_is_chained_the_same_for_all_that_come_by_with_the_same_digest() -> None:
    entry = Link(b"7-1", b"{}")
    for digest in (BEGINNING, BEGINNING, b"x" * 32, BEGINNING):
        assert entry.after(digest) == link(digest, b"7-1", b"{}")
    assert entry.after(BEGINNING) is entry.after(bytes(32))


def test_an_id_that_is_none_of_ours_is_told_apart_from_none() -> None:
    (strange,) = parse(b"id: abc\nevent: trade\ndata: {}\n\n").items
    assert (strange.epoch, strange.seq) == (b"", -1)


def test_a_text_within_a_trade_cannot_pass_for_its_moment() -> None:
    data = rb'{"symbol":"\"emitted_at\":5","emitted_at":1234}'
    assert parse(b"id: 7-1\nevent: trade\ndata: %b\n\n" % data).emitted == ((1234, 1),)


def test_the_newest_moment_is_known_without_looking_at_each() -> None:
    assert parse(trade(1, 50) + trade(2, 70) + trade(3, 60)).newest == 70


def test_lines_without_a_space_comments_and_unknown_fields_are_as_the_standard_says() -> None:
    text = b":hello\n\nid:7-1\nevent:trade\nfuture: x\ndata:{\ndata: }\n\n"
    block = parse(text)
    assert (block.events, block.epoch, block.last) == (1, b"7", 1)


def test_a_frame_without_data_is_no_event_but_its_retry_counts() -> None:
    block = parse(b"retry: 250\n\n")
    assert block.events == 0
    assert block.items == (Item("", retry=250),)


STREAM = CONNECTED + trade(1) + batch(3, 5, 6) + HEARTBEAT + COMPLETE + BYE


def whole_frames(parts: list[bytes]) -> bytes:
    """What is handed on when bytes come in these parts."""
    rest = handed = b""
    for part in parts:
        frames, rest = cut(rest + part)
        handed += frames
    assert rest == b""
    return handed


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_a_stream_cut_at_any_byte_is_handed_on_in_whole_frames(line_end: bytes) -> None:
    sent = STREAM.replace(b"\n", line_end)
    tail = b":\n\n" if line_end == b"\r" else b""  # shows that the CR before was not half a CRLF
    for at in range(len(sent) + 1):
        assert whole_frames([sent[:at], sent[at:], tail]) == STREAM + tail


def test_a_stream_that_comes_byte_by_byte_is_the_same() -> None:
    assert whole_frames([STREAM[at : at + 1] for at in range(len(STREAM))]) == STREAM


def test_the_same_bytes_are_read_once() -> None:
    blocks = Blocks()
    assert blocks[trade(1)] is blocks[trade(1)]


def test_a_frame_that_is_known_already_is_read_the_same() -> None:
    frames = Frames()
    first = parse_with(trade(1) + trade(2), frames)
    assert parse_with(trade(1) + trade(2), frames) == first
    assert len(frames) == 3  # and the nothing after the last


def test_long_blocks_are_not_kept_and_the_others_not_for_ever() -> None:
    blocks = Blocks()
    long = b"".join(trade(seq) for seq in range(1, 200))
    assert len(long) > REMEMBERED_BYTES
    assert blocks[long].trades == 199
    assert not blocks
    for seq in range(1, 5000):
        assert blocks[trade(seq)].last == seq
    assert len(blocks) < 1000
