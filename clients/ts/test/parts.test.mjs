// What needs no server: bytes, positions, waits.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Backoff } from "../dist/backoff.js";
import { FrameReader } from "../dist/frames.js";
import { Position } from "../dist/position.js";

const TEXT = 'retry: 5\nid: 7-1\nevent: a\ndata: {"x":\ndata: 1}\n\n:note\n\nevent:b\ndata:2\n\n';
const FRAMES = [
  { name: "a", id: "7-1", data: '{"x":\n1}', retry: 5 },
  { name: "message", id: null, data: null, retry: null },
  { name: "b", id: null, data: "2", retry: null },
];

for (const [name, end] of [["LF", "\n"], ["CRLF", "\r\n"], ["CR", "\r"]]) {
  test(`a stream whose lines end with ${name} is the same wherever it is cut`, () => {
    const text = TEXT.replaceAll("\n", end);
    for (let at = 0; at <= text.length; at += 1) {
      const reader = new FrameReader();
      // With CR as the end, a colon shows that the last one was not half a CRLF.
      const pieces = [text.slice(0, at), text.slice(at), ":"];
      assert.deepEqual(pieces.flatMap((piece) => reader.feed(piece)), FRAMES);
    }
  });
}

test("an event that does not end is refused", () => {
  const reader = new FrameReader();
  assert.throws(() => reader.feed("x".repeat(9 * 1024 * 1024)), RangeError);
});

test("an event is new when it lies behind the position", () => {
  const position = new Position(null);
  const ids = ["7-2", "7-2", "7-1", "7-10", "7-9", "8-1", "opaque", "opaque", "other"];
  const fresh = [true, false, false, true, false, true, true, false, true];
  assert.deepEqual(ids.map((id) => position.take(id)), fresh);
  position.forget();
  assert.equal(position.take("other"), true);
});

test("waits double up to a bound, what was told holds once, and patience ends", () => {
  const eternal = new Backoff(Infinity, () => 0);
  const waits = [...Array(7)].map(() => eternal.wait(0));
  assert.deepEqual(waits, [1, 2, 4, 8, 16, 30, 30]);
  eternal.succeeded();
  eternal.told(8);
  assert.deepEqual([eternal.wait(0), eternal.wait(0)], [8, 2]);
  eternal.succeeded();
  eternal.told(NaN);
  assert.equal(eternal.wait(0), 1);
  const short = new Backoff(10, () => 1);
  assert.deepEqual([short.wait(0), short.wait(9)], [1.25, null]);
});

test("a connection that stood counts as a stream, one that ended at once does not", () => {
  const backoff = new Backoff(3, () => 0);
  backoff.wait(0);
  backoff.connected(1);
  assert.equal(backoff.wait(100), 1);
  backoff.connected(101);
  assert.equal(backoff.wait(101), 2);
  backoff.connected(103);
  assert.equal(backoff.wait(103), null);
});
