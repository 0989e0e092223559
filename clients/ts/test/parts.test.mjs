// What needs no server: bytes, positions, waits.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createHash } from "node:crypto";

import { Backoff } from "../dist/backoff.js";
import { Chain } from "../dist/chain.js";
import { Mismatch } from "../dist/errors.js";
import { FrameReader } from "../dist/frames.js";
import { Position } from "../dist/position.js";
import { sha256 } from "../dist/sha256.js";
import { TradeList } from "../dist/trade_list.js";

const TEXT = 'retry: 5\nevent: a\ndata: {"x":\ndata: 1}\nid: 7-1\n\n:note\n\nevent:b\ndata:2\n\n';
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

test("ids, names and times to come back are as the standard says", () => {
  const read = (lines) => new FrameReader().feed(`${lines}\n\n`)[0];
  const ids = { "data: 1": null, "id: 7-1": "7-1", "id: 7-1\nid": "", "id:": "", "id: a\0": null };
  for (const [lines, id] of Object.entries(ids)) assert.equal(read(lines).id, id);
  for (const line of ["event:", "event", "event: "]) assert.equal(read(line).name, "message");
  for (const value of ["", "-1", "\u00b2", "9".repeat(5000)]) {
    assert.equal(read(`retry: ${value}`).retry, null);
  }
});

test("the time that a long event takes is linear in its characters", () => {
  for (const text of ["x", "x\n", "x\r", "\r"]) {
    const reader = new FrameReader();
    const piece = text.repeat(50 / text.length);
    const began = process.cpuUsage();
    for (let at = 0; at < 20_000; at += 1) reader.feed(piece);
    const { user, system } = process.cpuUsage(began);
    // A megabyte: 1 ms a KB, many times what it takes.
    assert.ok((user + system) / 1000 < 1000, `${text} took ${user + system} microseconds`);
  }
});

test("SHA-256 is SHA-256, at every length around a block", () => {
  for (const length of [...Array(200).keys(), 1000, 65_537]) {
    const message = Uint8Array.from({ length }, (_, at) => (at * 31 + length) % 256);
    const digest = createHash("sha256").update(message).digest();
    assert.deepEqual(sha256(message), new Uint8Array(digest));
  }
});

test("the chain is the one of the contract, and goes on from what was kept as JSON", () => {
  const payloads = ['{"number":1}', '{"number":2,"x":"\u00e4\ud83d\ude00"}', '{"number":3}'];
  let digest = Buffer.alloc(32);
  let chain = new Chain();
  payloads.forEach((payload, at) => {
    digest = createHash("sha256").update(digest).update(`7-${2 * at}\n${payload}`).digest();
    chain.add(`7-${2 * at}`, payload, at + 1);
    chain = new Chain(JSON.parse(JSON.stringify({ entries: chain.entries, digest: chain.digest })));
  });
  assert.equal(chain.proves(3, digest.toString("hex")), true);
  assert.equal(chain.proves(undefined, undefined), false);
  assert.throws(() => chain.proves(4, digest.toString("hex")), /3 entries came, and .* counts 4/);
  assert.throws(() => chain.proves(3, "00"), Mismatch);
  assert.throws(() => chain.add("7-9", "{}", 5), /entry 5 came after entry 3/);
  assert.throws(() => new Chain({ entries: 1, digest: "00" }), TypeError);
  const middle = new Chain({ entries: null, digest: null });
  middle.add("7-9", "{}", 5);
  assert.equal(middle.proves(5, "00"), false);
  assert.throws(() => middle.add("7-10", "{}", 7), Mismatch);
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
  eternal.told(Infinity);
  assert.equal(eternal.wait(0), 86_400);
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

const trade = (signature, fields) => ({ event: "trade", id: null, data: { signature, ...fields } });
const retract = (signature) => ({ event: "retract", id: null, data: { signature } });
const FIRST = [trade("a", { part: 0, slot: 1 }), trade("a", { part: 1, slot: 1 })];
const NEXT = trade("b", { part: 0, slot: 2 });

/** Signature, part and slot of the trades that these events leave. */
function kept(...events) {
  const trades = new TradeList();
  for (const event of events) trades.take(event);
  assert.equal(trades.size, [...trades].length);
  return [...trades].map(({ signature, part, slot }) => `${signature} ${part} ${slot}`);
}

test("two trades of a transaction are two, and a retract takes both back", () => {
  assert.deepEqual(kept(...FIRST, NEXT), ["a 0 1", "a 1 1", "b 0 2"]);
  assert.deepEqual(kept(...FIRST, NEXT, retract("a"), retract("unknown")), ["b 0 2"]);
});

test("a corrected trade stands in the place of its first version", () => {
  const corrected = [0, 1].map((part) => trade("a", { part, slot: 5, replaces: "7-1" }));
  const all = kept(...FIRST, NEXT, retract("a"), ...corrected);
  assert.deepEqual(all, ["a 0 5", "a 1 5", "b 0 2"]);
  const more = [corrected[0], trade("a", { part: 1, slot: 5 })];
  assert.deepEqual(kept(FIRST[0], NEXT, retract("a"), ...more), all);
});

test("a trade that lands again after a fork is the newest", () => {
  const landed = [0, 1].map((part) => trade("a", { part, slot: 3 }));
  assert.deepEqual(kept(...FIRST, NEXT, retract("a"), ...landed), ["b 0 2", "a 0 3", "a 1 3"]);
});

test("a trade of an older server has no part, and is the only one of its transaction", () => {
  const old = { event: "trades", id: null, data: { trades: [{ signature: "a" }, { signature: "b" }] } };
  assert.deepEqual(kept(old, retract("a")), ["b undefined undefined"]);
});

test("a gap discards everything, and a preview adds nothing", () => {
  const gap = { event: "gap", id: null, data: { reason: "reset" } };
  const preview = { event: "preview", id: null, data: { trades: [{ signature: "p", part: 0 }] } };
  assert.deepEqual(kept(...FIRST, gap, NEXT, preview), ["b 0 2"]);
});
