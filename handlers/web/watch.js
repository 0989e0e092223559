// One wallet as this tab knows it: what came, from the server or from the tab that leads, and how
// the connection is.

import { Stream } from "./stream.js";
import { Tabs } from "./tabs.js";
import { Trades } from "./trades.js";

/** @typedef {import("./access.js").Access} Access */
/** @typedef {import("./kinds.js").GapReason} GapReason */
/** @typedef {import("./kinds.js").Step} Step */
/** @typedef {import("./stream.js").State} State */
/** @typedef {import("./stream.js").StreamEvent} StreamEvent */
/** @typedef {import("./tabs.js").Message} Message */
/** @typedef {import("./trades.js").Trade} Trade */
/** @typedef {{percentage: number, step: Step, message: string, signatures_found: number,
 *   transactions_done: number, trades_found: number}} Progress */
/** Totals as the contract's `summary` has them. @typedef {Record<string, any>} Summary */
/** @typedef {{trades_found: number, duration: number, summary: Summary, truncated: boolean,
 *   metrics: {transactions: number}, reconciliation?: Reconciliation}} Complete */
/** @typedef {{status: "agrees" | "differs" | "unavailable", reason: string | null,
 *   slot: number | null, sol: {difference: number} | null, tokens_differ: number}} Reconciliation */
/** @typedef {{mint: string, amount: number, cost_sol: number | null, cost_usd: number | null}} Position */
/** `signature`: of the transaction that it tells of.
 * @typedef {{text: string, tone: "warning" | "quiet", signature?: string}} Notice */

// Trades in one message to another tab: copying so many takes a few milliseconds.
const CHUNK = 1000;
// Milliseconds between two looks at the positions, which cost a request each.
const POSITIONS_EVERY_MS = 10_000;
// Older ones are of no use any more.
const NOTICES_MOST = 3;

export class Watch {
  trades = new Trades();
  /** @type {State} */
  state = { kind: "connecting" };
  /** @type {Progress | null} */
  progress = null;
  /** @type {Summary | null} */
  summary = null;
  /** @type {Complete | null} */
  complete = null;
  /** @type {Position[] | null} */
  positions = null;
  /** @type {Notice[]} */
  notices = [];
  address;
  #access;
  #onChange;
  #stream;
  #tabs;
  #awaitsHistory = false;
  #positionsTimer = 0;
  #positionsAt = -Infinity;

  /** @param {string} address @param {Access} access
   * @param {() => void} onChange called often: draw once a frame */
  constructor(address, access, onChange) {
    this.address = address;
    this.#access = access;
    this.#onChange = onChange;
    this.#stream = new Stream({
      address,
      access,
      position: () => this.trades.position,
      onEvent: (event) => this.#arrived(event),
      onState: (state) => this.#connection(state),
    });
    this.#tabs = new Tabs(
      address,
      () => this.#lead(),
      (message) => this.#hear(message),
    );
  }

  start() {
    this.#tabs.join();
    if (!this.#tabs.leads) this.#askForHistory();
  }

  stop() {
    clearTimeout(this.#positionsTimer);
    this.#stream.close();
    this.#tabs.leave();
  }

  /** Connect now instead of later. */
  retry() {
    if (this.#tabs.leads) this.#stream.open();
    else this.#tabs.tell("retry");
  }

  /** @param {string} key what somebody typed in, for all tabs of this wallet */
  unlock(key) {
    this.#access.use(key);
    if (this.#tabs.leads) this.#stream.open();
    else this.#tabs.tell("key", { key });
  }

  /** @param {Notice} notice it was read */
  dismiss(notice) {
    this.notices = this.notices.filter((each) => each !== notice);
    this.#onChange();
  }

  #lead() {
    this.#awaitsHistory = false;
    this.#tabs.tell("lead", { position: this.trades.position });
    this.#stream.open();
  }

  /** @param {State} state */
  #connection(state) {
    this.state = state;
    this.#tabs.tell("state", { state });
    this.#onChange();
  }

  /** @param {StreamEvent} event */
  #arrived(event) {
    this.#tabs.tell("event", { event, after: this.trades.position });
    this.#apply(event);
    if (event.name === "complete" || event.name === "summary") this.#positionsAreDue();
  }

  /** @param {StreamEvent} event */
  #apply({ name, id, data }) {
    switch (name) {
      case "trade":
        this.#add([data], id);
        break;
      case "trades":
        this.#add(data.trades, id);
        break;
      case "retract":
        this.#retract(data.signature, id);
        break;
      case "preview":
        this.trades.preview(data.trades);
        break;
      case "progress":
        this.progress = data;
        break;
      case "summary":
        this.summary = data;
        break;
      case "complete":
        this.trades.position = id;
        this.trades.preview([]);
        this.complete = data;
        this.summary = data.summary;
        break;
      case "gap":
        this.#forget();
        this.#notice("warning", GAP[/** @type {GapReason} */ (data.reason)] ?? GAP.reset);
        break;
      default:
        if (id !== null) this.trades.position = id;
    }
    this.#onChange();
  }

  /** @param {Trade[]} trades @param {string | null} id */
  #add(trades, id) {
    this.trades.add(trades, id);
    for (const { signature, replaces, ...trade } of trades) {
      const told = this.notices.find((notice) => notice.signature === signature);
      if (!replaces || !told) continue;
      this.dismiss(told);
      this.#notice("quiet", `The trades of a transaction in ${slot(trade)} have other numbers now.`);
    }
  }

  /** @param {string} signature @param {string | null} id */
  #retract(signature, id) {
    const trades = this.trades.retract(signature, id);
    if (trades.length === 0) return;
    const what = trades.map(({ action }) => `a ${action}`).join(" and ");
    const text = `A transaction in ${slot(trades[0])} was taken back with its trades: ${what}.`;
    this.#notice("warning", text, signature);
  }

  #forget() {
    this.trades.clear();
    this.progress = this.summary = this.complete = this.positions = null;
  }

  /** @param {Notice["tone"]} tone @param {string} text @param {string} [signature] */
  #notice(tone, text, signature) {
    const others = this.notices.filter((notice) => notice.text !== text);
    const notice = { text, tone, ...(signature && { signature }) };
    this.notices = [...others, notice].slice(-NOTICES_MOST);
  }

  // What tabs say to each other.

  /** @param {Message} message */
  #hear(message) {
    if (this.#tabs.leads) this.#answer(message);
    else this.#follow(message);
  }

  /** @param {Message} message */
  #answer({ type, from, key }) {
    if (type === "hello") this.#tellHistory(from);
    if (type === "retry") this.#stream.open();
    if (type === "key") this.unlock(key);
  }

  /** @param {Message} message */
  #follow(message) {
    switch (message.type) {
      case "lead":
        this.#awaitsHistory = false;
        if (message.position !== this.trades.position) this.#askForHistory();
        break;
      case "history":
        this.#awaitsHistory = false;
        this.#adopt(message);
        break;
      case "event":
        if (message.event.id === null) this.#apply(message.event);
        else if (message.after === this.trades.position) this.#apply(message.event);
        else this.#askForHistory();
        break;
      case "state":
        this.state = { ...message.state, shared: true };
        this.#onChange();
        break;
      case "positions":
        this.positions = message.positions;
        this.#onChange();
        break;
      case "key":
        this.#access.use(message.key);
    }
  }

  #askForHistory() {
    if (this.#awaitsHistory) return;
    this.#awaitsHistory = true;
    this.#tabs.tell("hello");
  }

  /** In pieces, of which the last has everything else. @param {string} to */
  #tellHistory(to) {
    const { all, position } = this.trades;
    for (let start = 0; start === 0 || start < all.length; start += CHUNK) {
      const isLast = start + CHUNK >= all.length;
      const { state, progress, summary, complete, positions } = this;
      const rest = { position, state, progress, summary, complete, positions };
      const trades = all.slice(start, start + CHUNK);
      this.#tabs.tell("history", { isFirst: start === 0, trades, ...(isLast && { rest }) }, to);
    }
  }

  /** @param {Message} message */
  #adopt({ isFirst, trades, rest }) {
    if (isFirst) this.trades.clear();
    this.trades.add(trades, null);
    if (rest) {
      this.trades.position = rest.position;
      this.state = { ...rest.state, shared: true };
      this.progress = rest.progress;
      this.summary = rest.summary;
      this.complete = rest.complete;
      this.positions = rest.positions;
    }
    this.#onChange();
  }

  // Positions aren't in the stream.

  #positionsAreDue() {
    clearTimeout(this.#positionsTimer);
    const wait = Math.max(0, this.#positionsAt + POSITIONS_EVERY_MS - performance.now());
    this.#positionsTimer = setTimeout(() => this.#fetchPositions(), wait);
  }

  async #fetchPositions() {
    this.#positionsAt = performance.now();
    try {
      const { positions } = await this.#access.get(`/v4/wallet/${this.address}`, this.address);
      this.positions = positions;
      this.#tabs.tell("positions", { positions });
    } catch (error) {
      // They are asked for again after the next trade; meanwhile the page says what it knows.
      const why = error instanceof Error ? error.message : String(error);
      this.#notice("quiet", `The positions couldn't be read: ${why}`);
    }
    this.#onChange();
  }
}

/** @param {{slot: number}} trade */
function slot(trade) {
  return `slot ${trade.slot.toLocaleString("en-US")}`;
}

/** @type {Record<GapReason, string>} */
const GAP = {
  unknown_id: "The server didn't know where this page was: it reads the whole history again.",
  expired: "What this page had is no longer stored: it reads the whole history again.",
  reset: "The server began this wallet anew: the page reads the whole history again.",
};
