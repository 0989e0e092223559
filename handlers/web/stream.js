// One wallet's events from the server, over a native EventSource.
//
// The browser would reconnect by itself, but can't say when, nor fetch a new token for the URL, and
// it gives up on a status other than 200. So each EventSource is used until it fails once, and the
// next one is opened here, with the position as `last_event_id`.

import { Refusal } from "./access.js";
import { HAS_ID } from "./kinds.js";

/** @typedef {import("./access.js").Access} Access */
/** @typedef {import("./kinds.js").ByeReason} ByeReason */
/** @typedef {import("./kinds.js").Code} Code */
/** @typedef {import("./kinds.js").Kind} Kind */
/** What the connection is doing. `until` is Date.now() of the next attempt; `shared`: another tab
 * holds it.
 * @typedef {(
 *   {kind: "connecting"} | {kind: "open", resumed: boolean} |
 *   {kind: "waiting", until: number, why: string} |
 *   {kind: "locked", why: string} | {kind: "closed", why: string, code: string}
 * ) & {shared?: boolean}} State */
/** An event of the contract. `id` null: it moves no position.
 * @typedef {{name: Kind, id: string | null, data: any}} StreamEvent */
/** @typedef {{
 *   address: string, access: Access, position: () => string | null,
 *   onEvent: (event: StreamEvent) => void, onState: (state: State) => void,
 * }} Options */

// Trades an event: parsing a hundred takes about a millisecond.
const BATCH = 100;
// How long the first event may take. A server that answers at all sends it at once.
const CONNECT_MS = 20_000;
// Heartbeats that may be missing before the connection is taken for dead.
const MISSED_HEARTBEATS = 2.5;
// Back-off when nobody said how long to wait: doubled each time up to the most, a random half off,
// so that pages don't come back together.
const BACKOFF_LEAST_MS = 1_000;
const BACKOFF_MOST_MS = 30_000;

// Coming back is of no use until somebody does something.
/** @type {Set<string>} */
const HOPELESS = new Set(
  /** @satisfies {Code[]} */ ([
    "INVALID_WALLET",
    "INVALID_PARAMETER",
    "UPSTREAM_QUOTA",
    "UPSTREAM_REJECTED",
  ]),
);
/** @type {Set<string>} */
const NEEDS_KEY = new Set(
  /** @satisfies {Code[]} */ (["AUTH_REQUIRED", "INVALID_KEY", "FORBIDDEN_WALLET"]),
);
/** @type {Record<ByeReason, string>} */
const BYE = {
  shutdown: "The server restarts.",
  lifetime: "The server ends each connection after a while.",
  slow: "This page took the data too slowly.",
  token_expired: "The token ended.",
  revoked: "The key was revoked.",
  closed_by_owner: "The owner of the key closed this stream.",
};

export class Stream {
  /** @type {Options} */
  #options;
  /** @type {EventSource | null} */
  #source = null;
  /** Anything older belongs to an attempt that is over. */
  #attempt = 0;
  #failures = 0;
  #timer = 0;
  #heard = 0;

  /** @param {Options} options */
  constructor(options) {
    this.#options = options;
  }

  /** Connect now, whatever was going on. */
  async open() {
    this.#end();
    const { address, access, position, onState } = this.#options;
    const attempt = ++this.#attempt;
    onState({ kind: "connecting" });
    try {
      const token = await access.token(address);
      if (attempt !== this.#attempt) return;
      this.#listen(new EventSource(streamUrl(address, position(), token)));
      this.#expect(CONNECT_MS, "The server doesn't answer.");
    } catch (error) {
      if (attempt !== this.#attempt) return;
      if (error instanceof Refusal) this.#refused(error.code, error.message, error.retryAfter);
      else this.#wait("The server can't be reached.");
    }
  }

  close() {
    this.#attempt++;
    this.#end();
  }

  #end() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  /** @param {EventSource} source */
  #listen(source) {
    this.#source = source;
    const { onEvent } = this.#options;
    /** @param {Kind} name @param {boolean} hasId */
    const pass = (name, hasId) =>
      source.addEventListener(name, (event) => {
        if (source !== this.#source) return;
        this.#heard = performance.now();
        const data = JSON.parse(event.data);
        onEvent({ name, id: hasId ? event.lastEventId : null, data });
        if (name === "connected") this.#connected(data);
        if (name === "bye") this.#sentAway(data);
      });
    for (const [name, hasId] of /** @type {[Kind, boolean][]} */ (Object.entries(HAS_ID))) {
      if (name !== "error") pass(name, hasId); // also what the browser calls a broken connection
    }
    source.addEventListener("error", (event) => {
      if (source !== this.#source) return;
      if (!(event instanceof MessageEvent)) {
        this.#wait("The connection broke.");
        return;
      }
      const { error, code, details } = JSON.parse(event.data);
      this.#refused(code, error, details?.retry_after ?? null);
    });
  }

  /** @param {{resumed: boolean, heartbeat_seconds: number}} data */
  #connected(data) {
    this.#failures = 0;
    this.#options.onState({ kind: "open", resumed: data.resumed });
    const silence = data.heartbeat_seconds * 1000 * MISSED_HEARTBEATS;
    this.#expect(silence, "Nothing came from the server any more.");
  }

  /** Something has to be heard within so many milliseconds, again and again.
   * @param {number} silence @param {string} otherwise */
  #expect(silence, otherwise) {
    clearTimeout(this.#timer);
    this.#heard = performance.now();
    const check = () => {
      const left = this.#heard + silence - performance.now();
      if (left > 0) this.#timer = setTimeout(check, left);
      else this.#wait(otherwise);
    };
    this.#timer = setTimeout(check, silence);
  }

  /** @param {{reason: ByeReason, reconnect_after_ms: number}} bye */
  #sentAway({ reason, reconnect_after_ms: wait }) {
    const { address, access, onState } = this.#options;
    switch (reason) {
      case "revoked":
        this.close();
        access.use(null);
        onState({ kind: "locked", why: BYE[reason] });
        break;
      case "closed_by_owner":
        this.close();
        onState({ kind: "closed", why: BYE[reason], code: reason });
        break;
      default:
        if (reason === "token_expired") access.expired(address);
        this.#wait(BYE[reason] ?? "The server closed the connection.", wait);
    }
  }

  /** @param {string} code @param {string} why @param {number | null} retryAfter seconds */
  #refused(code, why, retryAfter) {
    const { address, access, onState } = this.#options;
    if (NEEDS_KEY.has(code)) {
      this.close();
      onState({ kind: "locked", why: access.hasKey ? why : "" });
      if (code !== "FORBIDDEN_WALLET") access.use(null); // it is right for other wallets
    } else if (HOPELESS.has(code)) {
      this.close();
      onState({ kind: "closed", why, code });
    } else {
      if (code === "TOKEN_EXPIRED") access.expired(address);
      this.#wait(why, retryAfter === null ? null : retryAfter * 1000);
    }
  }

  /** @param {string} why @param {number | null} milliseconds null: nobody said how long */
  #wait(why, milliseconds = null) {
    this.close();
    const backoff = Math.min(BACKOFF_MOST_MS, BACKOFF_LEAST_MS * 2 ** this.#failures++);
    const delay = milliseconds ?? backoff * (1 - Math.random() / 2);
    this.#options.onState({ kind: "waiting", until: Date.now() + delay, why });
    this.#timer = setTimeout(() => this.open(), delay);
  }
}

/** @param {string} address @param {string | null} position @param {string | null} token */
function streamUrl(address, position, token) {
  const query = new URLSearchParams({ follow: "true", errors: "event", batch: String(BATCH) });
  if (position !== null) query.set("last_event_id", position);
  if (token !== null) query.set("access_token", token);
  return `/v4/wallet/${encodeURIComponent(address)}/stream?${query}`;
}
