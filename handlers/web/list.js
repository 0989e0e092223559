// The list of trades. Only the rows that can be seen exist, however many there are.

import { abbreviated, amount, direction, gain, money, time, tokenName } from "./figures.js";

/** @typedef {import("./trades.js").Trade} Trade */
/** @typedef {import("./figures.js").Unit} Unit */
/** `pending`: those at the end whose P&L isn't known yet. `filter` tells one choice from another.
 * @typedef {{trades: Trade[], pending: number, newestFirst: boolean, unit: Unit, filter: string}} Rows */

const EXPLORER = "https://solscan.io/tx/";
// Rows beyond the edges, so that a quick scroll shows no gap.
const OVERSCAN = 8;
const COLUMNS = ["time", "side", "gave", "got", "value", "pnl", "venue", "link"];
const NUMBERS = new Set(["gave", "got", "value", "pnl"]);

export class List {
  #table;
  #body;
  #newer;
  #spacer = document.createElement("div");
  #window = document.createElement("div");
  /** @type {Row[]} */
  #rows = [];
  /** @type {Rows} */
  #shown = { trades: [], pending: 0, newestFirst: true, unit: "sol", filter: "" };
  #count = 0; // of those shown: the array itself grows meanwhile
  #rowHeight = 0;
  #unseen = 0;

  /** @param {HTMLElement} table with a head and a body
   * @param {HTMLButtonElement} newer shown while there are new rows above */
  constructor(table, newer) {
    this.#table = table;
    this.#body = /** @type {HTMLElement} */ (table.querySelector(".body"));
    this.#newer = newer;
    for (const [element, name] of /** @type {const} */ ([
      [this.#spacer, "spacer"],
      [this.#window, "window"],
    ])) {
      element.className = name;
      element.setAttribute("role", "none");
    }
    this.#spacer.append(this.#window);
    this.#body.append(this.#spacer);
    this.#body.addEventListener("scroll", () => this.#draw(), { passive: true });
    newer.addEventListener("click", () => this.#body.scrollTo({ top: 0 }));
    new ResizeObserver(() => this.#measure()).observe(this.#body);
  }

  /** @param {Rows} rows */
  show(rows) {
    const before = this.#shown;
    this.#shown = rows;
    const more = rows.trades.length - this.#count;
    this.#count = rows.trades.length;
    const sameChoice = before.filter === rows.filter && before.newestFirst === rows.newestFirst;
    this.#table.setAttribute("aria-rowcount", String(rows.trades.length + 1));
    this.#spacer.style.height = `${rows.trades.length * this.#rowHeight}px`;
    if (!sameChoice) {
      this.#unseen = 0;
      this.#body.scrollTop = 0;
    } else if (more && rows.newestFirst && this.#body.scrollTop > this.#rowHeight / 2) {
      // What somebody reads stays where it is while new rows come in above. Without any nothing is
      // set: even the same value would end the scrolling that a key has begun.
      this.#body.scrollTop += more * this.#rowHeight;
      this.#unseen += Math.max(0, more);
    }
    this.#draw();
  }

  #measure() {
    const height = parseFloat(getComputedStyle(this.#table).getPropertyValue("--row"));
    const first = this.#rowHeight ? this.#body.scrollTop / this.#rowHeight : 0;
    this.#rowHeight = height;
    this.#spacer.style.height = `${this.#shown.trades.length * height}px`;
    this.#body.scrollTop = first * height;
    this.#draw();
  }

  #draw() {
    const { trades, pending, newestFirst, unit } = this.#shown;
    if (!this.#rowHeight) return;
    const top = this.#body.scrollTop;
    const fitting = Math.ceil(this.#body.clientHeight / this.#rowHeight);
    const first = Math.max(0, Math.floor(top / this.#rowHeight) - OVERSCAN);
    const count = Math.min(trades.length - first, fitting + 2 * OVERSCAN);
    while (this.#rows.length < count) {
      const row = new Row();
      this.#rows.push(row);
      this.#window.append(row.element);
    }
    this.#rows.forEach((row, index) => {
      row.element.hidden = index >= count;
      if (index >= count) return;
      const place = first + index;
      const at = newestFirst ? trades.length - 1 - place : place;
      row.show(trades[at], place, at >= trades.length - pending, unit);
    });
    this.#window.style.transform = `translateY(${first * this.#rowHeight}px)`;
    if (top < this.#rowHeight) this.#unseen = 0;
    this.#newer.hidden = this.#unseen === 0;
    this.#newer.textContent = `\u2191 ${this.#unseen} newer`;
  }
}

class Row {
  element = document.createElement("div");
  /** @type {Record<string, HTMLElement>} */
  #cells = {};
  #link = document.createElement("a");
  /** @type {Trade | null} */
  #trade = null;
  #key = "";

  constructor() {
    this.element.className = "row";
    this.element.setAttribute("role", "row");
    for (const name of COLUMNS) {
      const cell = document.createElement("span");
      cell.setAttribute("role", "cell");
      cell.className = NUMBERS.has(name) ? `${name} number` : name;
      this.#cells[name] = cell;
      this.element.append(cell);
    }
    this.#link.target = "_blank";
    this.#link.rel = "noopener noreferrer";
    this.#link.textContent = "\u2197";
    this.#cells.link.append(this.#link);
  }

  /** @param {Trade} trade @param {number} place in the list, from 0
   * @param {boolean} pending @param {Unit} unit */
  show(trade, place, pending, unit) {
    this.element.setAttribute("aria-rowindex", String(place + 2)); // the head is the first
    this.element.classList.toggle("odd", place % 2 === 1);
    const key = `${unit} ${pending}`;
    if (trade === this.#trade && key === this.#key) return;
    this.#trade = trade;
    this.#key = key;
    const { time: at, side, gave, got, value, venue } = this.#cells;
    at.textContent = time(trade.timestamp);
    side.textContent = trade.action;
    side.className = `side ${trade.action}`;
    token(gave, trade.token_in);
    if (trade.action === "burn") {
      got.textContent = "burned";
      got.title = "It was destroyed, and nothing came for it";
    } else token(got, trade.token_out);
    value.textContent = money(unit === "sol" ? trade.value_sol : trade.value_usd, unit);
    venue.textContent = trade.dex;
    venue.title = trade.confidence === "low" ? `${trade.dex}, read with low confidence` : trade.dex;
    this.#pnl(trade, pending, unit);
    this.#link.href = EXPLORER + encodeURIComponent(trade.signature);
    this.#link.title = trade.signature;
    this.#link.setAttribute("aria-label", `Transaction ${abbreviated(trade.signature)} in an explorer`);
  }

  /** @param {Trade} trade @param {boolean} pending @param {Unit} unit */
  #pnl(trade, pending, unit) {
    const { pnl } = this.#cells;
    const earned = unit === "sol" ? trade.pnl_sol : trade.pnl_usd;
    const unknown = !pending && isWithoutCost(trade, earned);
    pnl.className = `pnl number ${direction(unknown ? null : earned, unit)}`;
    pnl.textContent = pending ? "\u2026" : gain(earned, unit);
    pnl.title = pending ? "Known when its turn has come" : whyNone(trade, earned);
    if (!pending && trade.unmatched_amount) {
      pnl.textContent = unknown ? "no known cost" : `* ${pnl.textContent}`;
      const proceeds = `${money(unit === "sol" ? trade.value_sol : trade.value_usd, unit)} ${unit.toUpperCase()}`;
      pnl.title = unknown && trade.action !== "burn"
        ? `${proceeds} without known cost, in no P&L`
        : `${amount(trade.unmatched_amount)} of it without known cost, in no P&L`;
    }
  }
}

/** @param {HTMLElement} cell @param {import("./trades.js").TokenAmount} leg */
function token(cell, leg) {
  const name = document.createElement("bdi");
  name.className = "token";
  name.textContent = tokenName(leg.symbol, leg.mint);
  cell.title = `${leg.amount} ${leg.symbol} (${leg.mint})`;
  cell.replaceChildren(amount(leg.amount), name);
}

/** Nothing of what it sold has a known cost, so its P&L isn't known. A server of before sends 0
 * there instead of null. @param {Trade} trade @param {number | null} earned */
function isWithoutCost(trade, earned) {
  const unmatched = trade.unmatched_amount;
  return unmatched > 0 && (earned === null || unmatched >= trade.token_in.amount);
}

/** @param {Trade} trade @param {number | null} earned */
function whyNone(trade, earned) {
  if (earned !== null) return "";
  return trade.action === "buy" ? "A buy realizes nothing" : "No value is known";
}
