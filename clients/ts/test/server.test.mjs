// Against a real server, which the caller started: SERVER is its URL, WALLET one of its wallets,
// GUARDED the URL of one that wants KEY. `npm test` without them tries only what needs no server.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { test } from "node:test";

import { BadAnswer, Mismatch, NotAllowed, Refused, SentAway, Unreachable, stream } from "../dist/index.js";

const { SERVER, GUARDED, WALLET, OTHER_WALLET, KEY } = process.env;
const skip = SERVER === undefined && "no SERVER to try";

async function read(events) {
  const found = [];
  for await (const event of events) found.push(event);
  return found;
}

const ids = (events) => events.map((event) => event.id).filter((id) => id !== null);
const named = (name, events) => events.filter((event) => event.event === name);

test("a whole history comes in order and ends", { skip }, async () => {
  const events = await read(stream(SERVER, WALLET));
  const complete = events.at(-1);
  assert.equal(events[0].event, "connected");
  assert.equal(complete.event, "complete");
  assert.equal(named("trade", events).length, complete.data.trades_found);
  assert.ok(complete.data.trades_found > 20);
  assert.equal(complete.verified, true);
  assert.equal(complete.bookmark.entries, complete.data.entries);
  assert.equal(complete.bookmark.digest, complete.data.digest);
});

test("a bookmark goes on and proves the whole, and a wrong one is a gap", { skip }, async () => {
  const whole = (await read(stream(SERVER, WALLET))).filter((event) => event.id);
  const bookmark = JSON.parse(JSON.stringify(whole[9].bookmark));
  const rest = await read(stream(SERVER, WALLET, { bookmark }));
  assert.deepEqual(ids(rest), ids(whole).slice(10));
  assert.equal(rest.at(-1).verified, true);
  const unproved = await read(stream(SERVER, WALLET, { lastEventId: bookmark.id }));
  assert.equal(unproved.at(-1).verified, false);
  const wrong = { ...bookmark, digest: "00".repeat(32) };
  const anew = await read(stream(SERVER, WALLET, { bookmark: wrong }));
  const gap = anew.findIndex((event) => event.event === "gap");
  assert.equal(anew[gap].data.reason, "mismatch");
  assert.deepEqual(ids(anew.slice(gap)), ids(whole));
  assert.equal(anew.at(-1).verified, true);
});

test("movements are proved with everything else", { skip }, async () => {
  const events = await read(stream(SERVER, WALLET, { movements: true }));
  const [complete] = named("complete", events);
  const movements = named("movement", events);
  assert.equal(movements.length, complete.data.metrics.movements);
  assert.ok(movements.length > 0);
  assert.equal(complete.verified, true);
  assert.equal(complete.bookmark.entries_all, complete.data.entries_all);
  assert.equal(complete.bookmark.digest_all, complete.data.digest_all);
  const bookmark = JSON.parse(JSON.stringify(movements[1].bookmark));
  const rest = await read(stream(SERVER, WALLET, { movements: true, bookmark }));
  assert.equal(named("complete", rest)[0].verified, true);
  const { entries, digest } = bookmark;
  const half = { id: bookmark.id, entries, digest };
  const unproved = await read(stream(SERVER, WALLET, { movements: true, bookmark: half }));
  assert.equal(named("complete", unproved)[0].verified, false);
  const wrong = { ...bookmark, digest_all: "00".repeat(32) };
  const anew = await read(stream(SERVER, WALLET, { movements: true, bookmark: wrong }));
  assert.equal(named("gap", anew)[0].data.reason, "mismatch");
  assert.equal(named("complete", anew).at(-1).verified, true);
});

test("what no digest is for is not verified", { skip }, async () => {
  for (const wish of [{ batch: 7 }, { side: "sell" }, { skipPricing: true }]) {
    assert.equal((await read(stream(SERVER, WALLET, wish))).at(-1).verified, false);
  }
  const several = named("complete", await read(stream(SERVER, [WALLET, OTHER_WALLET])));
  assert.deepEqual(several.map((event) => event.verified), [false, false]);
});

test("an id of another process goes on from there, the last one to nothing", { skip }, async () => {
  const whole = ids(await read(stream(SERVER, WALLET)));
  const rest = await read(stream(SERVER, WALLET, { lastEventId: whole[9] }));
  assert.equal(rest[0].data.resumed, true);
  assert.deepEqual(ids(rest), whole.slice(10));
  assert.deepEqual(await read(stream(SERVER, WALLET, { lastEventId: whole.at(-1) })), []);
});

test("wishes reach the server", { skip }, async () => {
  const whole = named("trade", await read(stream(SERVER, WALLET)));
  const sold = named("trades", await read(stream(SERVER, WALLET, { batch: 7, side: "sell" })));
  assert.deepEqual(
    sold.flatMap((event) => event.data.trades.map((trade) => trade.signature)),
    whole.filter((event) => event.data.action === "sell").map((event) => event.data.signature),
  );
});

test("several wallets are named and end with the last of them", { skip }, async () => {
  const events = await read(stream(SERVER, [WALLET, OTHER_WALLET]));
  const completed = named("complete", events).map((event) => event.data.wallet);
  assert.deepEqual(new Set(completed), new Set([WALLET, OTHER_WALLET]));
});

test("an unknown id is a gap and then the whole history", { skip }, async () => {
  const whole = await read(stream(SERVER, WALLET));
  const events = await read(stream(SERVER, WALLET, { lastEventId: "1-5" }));
  assert.equal(named("gap", events)[0].data.from, "1-5");
  assert.deepEqual(ids(events), ids(whole));
});

test("a signal ends it, also while it follows", { skip }, async () => {
  const controller = new AbortController();
  const found = [];
  for await (const event of stream(SERVER, WALLET, { follow: true, signal: controller.signal })) {
    found.push(event.event);
    if (event.event === "complete") controller.abort();
  }
  assert.ok(found.includes("complete"));
});

test("a client with a key is let in, and one without is told the reason", { skip }, async () => {
  const key = async () => KEY;
  assert.equal((await read(stream(GUARDED, WALLET, { key }))).at(-1).event, "complete");
  await assert.rejects(read(stream(GUARDED, WALLET)), (error) => {
    assert.ok(error instanceof NotAllowed);
    assert.equal(error.code, "AUTH_REQUIRED");
    return true;
  });
});

test("a wallet that is none is refused", { skip }, async () => {
  await assert.rejects(read(stream(SERVER, "no/body?")), (error) => {
    assert.ok(error instanceof Refused);
    assert.equal(error.code, "INVALID_WALLET");
    return true;
  });
});

// Against a server that does what the test says.

const CONNECTED =
  'event: connected\ndata: {"stream_id":"s","wallet":"W","timestamp":1,"resumed":false,' +
  '"heartbeat_seconds":1,"follow":true,"server":"x"}\n\n';
const BYE = 'retry: 10\nevent: bye\ndata: {"reason":"lifetime","reconnect_after_ms":10}\n\n';
const retract = (seq) => `event: retract\ndata: {"signature":"s${seq}"}\nid: 7-${seq}\n\n`;
const COMPLETE = "event: complete\ndata: {}\nid: 7-9\n\n";
const text = { "Content-Type": "text/event-stream" };

/** Each request is answered by the next of these. */
async function against(answers, use) {
  const requests = [];
  const server = createServer((request, response) => {
    requests.push(request.headers);
    answers.shift()(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await use(`http://127.0.0.1:${server.address().port}/prefix/`, requests);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const streams = (body, end = true) => (response) => {
  response.writeHead(200, text);
  response.write(body);
  if (end) response.end();
};

const moved = (location) => (response) => response.writeHead(308, { Location: location }).end();

test("a redirect is followed with the key, and anew by each connection", async () => {
  const answers = [
    moved("/there"),
    streams(CONNECTED + retract(1) + BYE),
    moved("/there"),
    streams(CONNECTED + retract(2), false),
  ];
  await against(answers, async (url, requests) => {
    const found = [];
    for await (const event of stream(url, "W", { follow: true, key: "k" })) {
      found.push(event);
      if (event.id === "7-2") break;
    }
    assert.deepEqual(ids(found), ["7-1", "7-2"]);
    assert.deepEqual(new Set(requests.map((each) => each["authorization"])), new Set(["Bearer k"]));
    const positions = requests.map((each) => each["last-event-id"]);
    assert.deepEqual(positions, [undefined, undefined, "7-1", "7-1"]);
  });
});

test("another origin gets no key, and its refusal says so", async () => {
  const closed = (response) =>
    response.writeHead(401).end('{"code":"AUTH_REQUIRED","detail":"A key is needed."}');
  await against([closed], async (there, theirs) => {
    await against([moved(there)], async (here, ours) => {
      await assert.rejects(read(stream(here, "W", { key: "secret" })), (error) => {
        assert.ok(error instanceof NotAllowed);
        assert.equal(error.code, "AUTH_REQUIRED");
        assert.match(error.message, /^A key is needed\. It wasn't shown the key/);
        assert.ok(error.message.includes(`redirects to ${new URL(there).origin}.`));
        assert.ok(!error.message.includes("secret"));
        return true;
      });
      assert.equal(ours[0]["authorization"], "Bearer secret");
      assert.equal(theirs[0]["authorization"], undefined);
    });
  });
});

test("a circle of redirects ends", async () => {
  const circle = Array.from({ length: 30 }, () => moved("/"));
  await against(circle, async (url) => {
    await assert.rejects(read(stream(url, "W", { patience: 0 })), Unreachable);
  });
});

test("a bye is shown and obeyed, and what comes twice is shown once", async () => {
  const answers = [
    streams(CONNECTED + retract(1) + retract(2) + BYE),
    streams(CONNECTED + retract(2) + retract(3), false),
  ];
  await against(answers, async (url, requests) => {
    const found = [];
    for await (const event of stream(url, "W", { follow: true })) {
      found.push(event);
      if (event.id === "7-3") break;
    }
    assert.deepEqual(ids(found), ["7-1", "7-2", "7-3"]);
    const [away] = named("away", found);
    assert.ok(away.data.cause instanceof SentAway);
    assert.ok(away.data.seconds >= 0.01 && away.data.seconds < 0.02);
    assert.deepEqual(requests.map((each) => each["last-event-id"]), [undefined, "7-2"]);
  });
});

test("a full server is asked again when it said, and a wrong answer is not", async () => {
  const busy = (response) => response.writeHead(503, { "Retry-After": "0" }).end("<p>full");
  const page = (response) => response.writeHead(200, { "Content-Type": "text/html" }).end("<p>");
  await against([busy, busy, page], async (url) => {
    const found = [];
    await assert.rejects(async () => {
      for await (const event of stream(url, "W")) found.push(event);
    }, BadAnswer);
    assert.deepEqual(found.map((event) => event.data.cause.code), ["HTTP_503", "HTTP_503"]);
  });
});

test("an error with a time is waited for, and one without is thrown", async () => {
  const error = (details) =>
    `event: error\ndata: {"error":"No.","code":"X","details":${details},"timestamp":1}\n\n`;
  await against([streams(error('{"retry_after":0}')), streams(error("{}"))], async (url) => {
    const found = [];
    await assert.rejects(async () => {
      for await (const event of stream(url, "W")) found.push(event);
    }, { code: "X", message: "No." });
    assert.deepEqual(found.map((event) => event.event), ["away"]);
  });
});

test("a connection that falls silent is left", async () => {
  await against([streams(CONNECTED, false)], async (url) => {
    const found = [];
    for await (const event of stream(url, "W")) {
      found.push(event);
      if (event.event === "away") break;
    }
    assert.ok(found.at(-1).data.cause instanceof Unreachable);
    assert.match(found.at(-1).data.cause.message, /silent for 3 seconds/);
  });
});

/** Retracts with numbers, and a `complete` that proves them. */
function proved(count) {
  let digest = Buffer.alloc(32);
  let frames = "";
  for (let number = 1; number <= count; number += 1) {
    const payload = `{"signature":"s${number}","number":${number}}`;
    digest = createHash("sha256").update(digest).update(`7-${3 * number}\n${payload}`).digest();
    frames += `event: retract\ndata: ${payload}\nid: 7-${3 * number}\n\n`;
  }
  const end = `{"entries":${count},"digest":"${digest.toString("hex")}"}`;
  return `${frames}event: complete\ndata: ${end}\nid: 7-${3 * count + 1}\n\n`;
}

test("a history that a proxy altered is read once more and then refused", async () => {
  const altered = CONNECTED + proved(2).replace('"s2"', '"x2"');
  await against([streams(altered), streams(altered)], async (url, requests) => {
    const found = [];
    await assert.rejects(async () => {
      for await (const event of stream(url, "W")) found.push(event);
    }, (error) => error instanceof Mismatch && /the digest of 2 entries .* anew/.test(error.message));
    assert.deepEqual(named("gap", found).map((event) => event.data.reason), ["mismatch"]);
    assert.deepEqual(ids(found), ["7-3", "7-6", "7-3", "7-6"]);
    assert.deepEqual(requests.map((each) => each["last-event-id"]), [undefined, undefined]);
  });
});

test("an entry that does not come is missed at the next one", async () => {
  const lossy = CONNECTED + proved(3).replace(/event: retract\ndata: .*s2.*\n.*\n\n/, "");
  await against([streams(lossy, false), streams(CONNECTED + proved(3))], async (url) => {
    const found = await read(stream(url, "W"));
    assert.match(named("away", found)[0].data.cause.message, /entry 3 came after entry 1/);
    assert.equal(found.at(-1).verified, true);
  });
});

test("a cut is told from an end, and neither is taken for a complete", async () => {
  const cut = (response) => {
    response.writeHead(200, text);
    response.write(CONNECTED + retract(1), () => response.destroy());
  };
  const answers = [cut, streams(CONNECTED + retract(2)), streams(CONNECTED + COMPLETE)];
  await against(answers, async (url, requests) => {
    const found = await read(stream(url, "W"));
    const causes = named("away", found).map((event) => event.data.cause.message);
    assert.match(causes[0], /^The server broke off/);
    assert.match(causes[1], /^The server ended the stream before/);
    const positions = requests.map((each) => each["last-event-id"]);
    assert.deepEqual(positions, [undefined, "7-1", "7-2"]);
    assert.equal(found.at(-1).verified, false);
  });
});

test("ids move the position as the standard says, whatever is in them", async () => {
  const positions = {
    "id: 7-5\n\n": "7-5",
    "id:\n\n": undefined,
    "id: 7-5\0\n\n": "7-1",
    "id: \u00e4\u2192\n\n": Buffer.from("\u00e4\u2192").toString("latin1"),
  };
  for (const [frame, position] of Object.entries(positions)) {
    const answers = [streams(CONNECTED + retract(1) + frame + BYE), streams(COMPLETE)];
    await against(answers, async (url, requests) => {
      await read(stream(url, "W"));
      assert.equal(requests[1]["last-event-id"], position);
    });
  }
});

test("another spelling of the media type is the same, and a longer one is another", async () => {
  const typed = (type) => (response) => response.writeHead(200, { "Content-Type": type }).end(COMPLETE);
  await against([typed("Text/Event-Stream ;charset=UTF-8")], async (url) => {
    assert.deepEqual(ids(await read(stream(url, "W"))), ["7-9"]);
  });
  await against([typed("text/event-streams")], async (url) => {
    await assert.rejects(read(stream(url, "W")), BadAnswer);
  });
});

test("a field that is missing does not end the stream", async () => {
  for (const name of ["connected", "progress", "bye", "trade", "retract", "gap", ""]) {
    const frame = `event: ${name}\ndata: {}\nretry: 0\n\n`;
    await against([streams(frame), streams(COMPLETE)], async (url, requests) => {
      assert.equal((await read(stream(url, "W"))).at(-1).event, "complete");
      assert.equal(requests.length, 2);
    });
  }
  await against([streams("event: error\ndata: {}\n\n")], async (url) => {
    await assert.rejects(read(stream(url, "W")), { code: "UNKNOWN" });
  });
});

test("data that can't be read is said so", async () => {
  await against([streams("event: trade\ndata: [1]\n\n")], async (url) => {
    await assert.rejects(read(stream(url, "W")), BadAnswer);
  });
});

test("where nobody listens the cause is told when patience ends", async () => {
  const url = await new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(`http://127.0.0.1:${port}`));
    });
  });
  await assert.rejects(read(stream(url, "W", { patience: 0 })), Unreachable);
});

test("what can't be sent is the caller's mistake", async () => {
  for (const url of ["ftp://x", "http://u:p@x", "http://x/?api_key=k", "x"]) {
    await assert.rejects(read(stream(url, "W")), TypeError);
  }
  await assert.rejects(read(stream("http://127.0.0.1:1", "W", { key: "a\r\nb" })), TypeError);
});
