// What the `eventsource` package makes of a stream, a line of JSON for each thing it tells:
// node follow.mjs URL. It ends when the package stops asking.

import { EventSource } from "eventsource";

const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const source = new EventSource(process.argv[2]);

for (const name of ["connected", "progress", "trade", "complete", "gap", "bye", "heartbeat"]) {
  source.addEventListener(name, (event) => {
    say({ event: name, id: event.lastEventId, data: JSON.parse(event.data) });
  });
}
// The server's own `error` event has data, the package's has not.
source.addEventListener("error", (event) => {
  if (event.data) say({ event: "error", data: JSON.parse(event.data) });
  else say({ event: "failed", status: event.code ?? null, stopped: source.readyState === 2 });
});
