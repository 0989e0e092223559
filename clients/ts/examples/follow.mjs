// Prints what comes, a line of JSON for each event: node follow.mjs URL WALLET

import { stream } from "../dist/index.js";

const [url, wallet] = process.argv.slice(2);
for await (const { event, id } of stream(url, wallet)) {
  process.stdout.write(`${JSON.stringify({ event, id })}\n`);
}
