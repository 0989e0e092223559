// Against a real server, which the caller started: SERVER is its URL, WALLET one of its wallets,
// GUARDED the URL of one that wants KEY. `npm test` without them tries only what needs no server.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";

import { BadAnswer, NotAllowed, Refused, SentAway, Unreachable, stream } from "../dist/index.js";

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

test("a key opens the door, and without one the reason is said", { skip }, async () => {
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
const retract = (seq) => `id: 7-${seq}\nevent: retract\ndata: {"signature":"s${seq}"}\n\n`;
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
