// What a client of others makes of a stream, as a user would write it: node read.mjs CLIENT URL.
// A line of JSON for each stored event with its id, and for each time the client says that it failed;
// `stopped`: for good. It ends when the client asks no more.

const NAMES = ["trade", "complete", "bye"];

const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const failed = (stopped) => say({ event: "failed", id: "", stopped });

/** Everything that looks like a browser's EventSource. */
function listen(source) {
  for (const event of NAMES) {
    source.addEventListener(event, ({ lastEventId }) => say({ event, id: lastEventId }));
  }
  const ended = (event) => event?.data === undefined && failed(source.readyState === 2);
  source.addEventListener("error", ended);
  source.addEventListener("end", ended); // launchdarkly-eventsource calls it so
}

/** Its timer doesn't keep a process alive that does nothing else, so something else has to. */
async function eventsource5(url) {
  const source = new (await import("eventsource5")).EventSource(url);
  listen(source);
  const alive = setInterval(() => source.readyState === 2 && clearInterval(alive), 100);
}

async function fetchEventSource(url) {
  // It was made for browsers.
  globalThis.window = globalThis;
  globalThis.document = { addEventListener() {}, removeEventListener() {} };
  const client = (await import("@microsoft/fetch-event-source")).default;
  let isComplete = false;
  await client.fetchEventSource(url, {
    openWhenHidden: true,
    onmessage({ event, id }) {
      if (NAMES.includes(event)) say({ event, id });
      isComplete ||= event === "complete" && !url.includes("follow");
    },
    onclose() {
      // Its README: throw, to have it ask again.
      if (!isComplete) throw new Error("The server ended the stream.");
    },
    onerror() {
      failed(false);
    },
  });
}

async function eventsourceClient(url) {
  const { createEventSource } = await import("eventsource-client");
  createEventSource({
    url,
    onMessage({ event, id }) {
      if (NAMES.includes(event)) say({ event, id });
    },
    onScheduleReconnect: () => failed(false),
  });
}

async function wdClient(url) {
  const { stream } = await import(process.env.WD_CLIENT);
  const { origin, pathname, searchParams } = new URL(url);
  const wallet = pathname.split("/")[3];
  for await (const { event, id } of stream(origin, wallet, { follow: searchParams.has("follow") })) {
    if (NAMES.includes(event)) say({ event, id });
    if (event === "away") failed(false);
  }
}

const CLIENTS = {
  "wd-client": wdClient,
  eventsource1: async (url) => listen(new (await import("eventsource1")).default(url)),
  eventsource2: async (url) => listen(new (await import("eventsource2")).default(url)),
  eventsource: async (url) => listen(new (await import("eventsource")).EventSource(url)),
  eventsource4: async (url) => listen(new (await import("eventsource4")).EventSource(url)),
  eventsource5,
  "event-source-polyfill": async (url) =>
    listen(new (await import("event-source-polyfill")).default.EventSourcePolyfill(url)),
  "launchdarkly-eventsource": async (url) =>
    listen(new (await import("launchdarkly-eventsource")).default.EventSource(url)),
  "eventsource-client": eventsourceClient,
  "@microsoft/fetch-event-source": fetchEventSource,
};

const [client, url] = process.argv.slice(2);
await CLIENTS[client](url);
