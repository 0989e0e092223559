// The page: what people do goes to a Watch, and what it knows is drawn once a frame.

import { Access } from "./access.js";
import { Chart } from "./chart.js";
import { csv, curl, download, json } from "./export.js";
import { abbreviated, whole } from "./figures.js";
import { List } from "./list.js";
import {
  showBooks, showNotices, showPositions, showProgress, showTokens, showTotals, showWallets,
} from "./panels.js";
import { Status } from "./status.js";
import { findAddress, fromUrl, recent, remember, toUrl } from "./wallet.js";
import { Watch } from "./watch.js";

/** @typedef {import("./figures.js").Unit} Unit */

// Charts and totals of a growing history are drawn this often; rows come with each frame.
const SLOW_MS = 250;

/** @template {HTMLElement} T @param {string} id @param {new () => T} kind @returns {T} */
function byId(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`The page has no ${id}.`);
  return found;
}

const address = byId("address", HTMLInputElement);
const problem = byId("address-problem", HTMLElement);
const start = byId("start", HTMLElement);
const watched = byId("watch", HTMLElement);
const keySection = byId("key", HTMLElement);
const keyText = byId("key-text", HTMLInputElement);
const token = byId("token", HTMLSelectElement);
const side = byId("side", HTMLSelectElement);
const order = byId("order", HTMLSelectElement);
const noTrades = byId("no-trades", HTMLElement);
const said = byId("elsewhere-said", HTMLElement);
const curlText = byId("curl", HTMLInputElement);

const access = new Access();
const list = new List(byId("list", HTMLElement), byId("newer", HTMLButtonElement));
const chart = new Chart(
  byId("pnl-chart", HTMLElement),
  byId("volume-chart", HTMLElement),
  byId("chart-at", HTMLElement),
);
const status = new Status(
  byId("status", HTMLElement),
  byId("status-text", HTMLElement),
  byId("status-wait", HTMLElement),
  byId("retry", HTMLButtonElement),
);

/** @type {Watch | null} */
let watch = null;
/** @type {Unit} */
let unit = "sol";
let frame = 0;
let slow = 0;
let slowAt = -Infinity;
/** @type {{positions: Watch["positions"], unit: Unit} | null} */
let drawn = null;

// Which wallet.

/** As it was asked for. @type {string | null} */
let chosen = null;

/** @param {string | null} text from the URL or typed in */
function choose(text) {
  watch?.stop();
  watch = null;
  chosen = text;
  const wallet = text === null ? null : findAddress(text);
  address.value = wallet ?? text ?? "";
  complain(text !== null && wallet === null ? "This is no Solana address: it has 32 to 44 letters and digits." : "");
  start.hidden = wallet !== null;
  watched.hidden = wallet === null;
  keySection.hidden = true;
  document.title = wallet ? `${abbreviated(wallet)} \u00b7 wd-server` : "Wallet trades \u00b7 wd-server";
  byId("heading", HTMLElement).textContent = wallet ? `Trades of ${wallet}` : "A wallet's trades";
  if (wallet === null) {
    status.hide();
    offer();
    return;
  }
  token.value = side.value = "";
  said.textContent = "";
  remember(wallet);
  watch = new Watch(wallet, access, changed);
  watch.start();
  changed();
}

/** @param {string} text empty: nothing is wrong */
function complain(text) {
  problem.textContent = text;
  problem.hidden = text === "";
  if (text) address.setAttribute("aria-invalid", "true");
  else address.removeAttribute("aria-invalid");
}

/** Wallets to choose, where none is chosen. */
async function offer() {
  const seen = recent();
  showWallets(byId("recent", HTMLElement), seen.map((each) => ({ address: each, said: "" })));
  const response = await fetch("/", { headers: { Accept: "application/json" } }).catch(() => null);
  if (!response?.ok) return; // the box above works without
  const { wallets } = await response.json();
  /** @param {{address: string, transactions: number}} wallet */
  const described = ({ address, transactions }) => ({
    address,
    said: `${whole(transactions)} transactions`,
  });
  showWallets(byId("examples", HTMLElement), (wallets ?? []).map(described));
}

// What is shown.

function changed() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    draw();
  });
}

function draw() {
  if (watch === null) return;
  status.show(watch.state, watch.complete !== null);
  showProgress(byId("progress", HTMLElement), watch);
  showNotices(byId("notices", HTMLElement), watch);
  drawKey(watch);
  drawList(watch);
  const wait = slowAt + SLOW_MS - performance.now();
  clearTimeout(slow);
  if (wait > 0) slow = setTimeout(() => drawSlowly(), wait);
  else drawSlowly();
}

/** @param {Watch} watch */
function drawKey(watch) {
  const { state } = watch;
  const wasHidden = keySection.hidden;
  keySection.hidden = state.kind !== "locked";
  watched.hidden = state.kind === "locked" && watch.trades.all.length === 0;
  if (state.kind !== "locked") return;
  byId("key-why", HTMLElement).textContent = state.why;
  if (wasHidden) keyText.focus();
}

/** @param {Watch} watch */
function drawList(watch) {
  const filter = { mint: token.value, side: side.value };
  const isFiltered = Boolean(filter.mint || filter.side);
  const matching = watch.trades.matching(filter);
  const pending = isFiltered ? [] : watch.trades.pending();
  const trades = pending.length ? [...matching, ...pending] : matching;
  list.show({
    trades,
    pending: pending.length,
    newestFirst: order.value === "newest",
    unit,
    filter: `${watch.address} ${filter.mint} ${filter.side}`,
  });
  const all = watch.trades.all.length;
  byId("trades-count", HTMLElement).textContent = isFiltered
    ? `${whole(matching.length)} of ${whole(all)}`
    : whole(all);
  byId("list", HTMLElement).hidden = trades.length === 0;
  drawNoTrades(watch, trades.length === 0, isFiltered);
}

/** @param {Watch} watch @param {boolean} empty @param {boolean} isFiltered */
function drawNoTrades(watch, empty, isFiltered) {
  noTrades.hidden = !empty;
  if (!empty) return;
  const [text, button] = /** @type {[HTMLElement, HTMLElement]} */ ([...noTrades.children]);
  button.hidden = !isFiltered;
  if (isFiltered) text.textContent = "No trade is of this kind.";
  else if (watch.complete) {
    const count = watch.complete.metrics.transactions;
    text.textContent = count
      ? `None of this wallet's ${whole(count)} transactions is a trade.`
      : "This wallet has no transactions.";
  } else if (watch.state.kind === "closed") text.textContent = watch.state.why;
  else text.textContent = "The first trades come in a moment.";
}

function drawSlowly() {
  if (watch === null) return;
  slowAt = performance.now();
  const filter = { mint: token.value, side: side.value };
  showTotals(byId("totals", HTMLElement), byId("summary-span", HTMLElement), watch, unit);
  showBooks(byId("books", HTMLElement), watch);
  const trades = watch.trades.matching(filter);
  byId("chart", HTMLElement).hidden = trades.length === 0;
  if (trades.length) chart.show(trades, unit);
  drawPositions(watch);
  if (document.activeElement !== token) showTokens(token, watch);
  const command = curl(watch.address, access.hasKey);
  if (curlText.value !== command) curlText.value = command;
}

/** Only new ones: whoever has gone to one of them stays there. @param {Watch} watch */
function drawPositions(watch) {
  if (drawn?.positions === watch.positions && drawn.unit === unit) return;
  drawn = { positions: watch.positions, unit };
  showPositions(byId("positions", HTMLElement), watch, unit, (mint) => {
    token.value = mint;
    redraw();
    byId("trades-title", HTMLElement).focus();
  });
}

/** After somebody chose something: all of it, at once. */
function redraw() {
  slowAt = -Infinity;
  draw();
}

// What people do.

byId("wallet-form", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  const wallet = findAddress(address.value);
  if (wallet === null) {
    complain(
      address.value.trim()
        ? "This is no Solana address: it has 32 to 44 letters and digits."
        : "Paste a wallet's address first.",
    );
    address.focus();
    return;
  }
  history.pushState(null, "", toUrl(wallet));
  choose(wallet);
});
address.addEventListener("input", () => complain(""));
document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest(".wallets a") : null;
  if (!(link instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  choose(fromUrl());
});
addEventListener("popstate", () => {
  // A link within the page comes here, too: the wallet is the same, and goes on.
  if (fromUrl() !== chosen) choose(fromUrl());
});

byId("key-form", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  const key = keyText.value.trim();
  keyText.value = "";
  if (key) watch?.unlock(key);
});
byId("retry", HTMLButtonElement).addEventListener("click", () => watch?.retry());
addEventListener("online", () => {
  if (watch?.state.kind === "waiting") watch.retry();
});

for (const choice of [token, side, order]) choice.addEventListener("change", redraw);
for (const input of document.querySelectorAll("input[name=unit]")) {
  input.addEventListener("change", (event) => {
    unit = /** @type {Unit} */ (/** @type {HTMLInputElement} */ (event.target).value);
    for (const name of document.querySelectorAll(".unit")) name.textContent = unit.toUpperCase();
    redraw();
  });
}
noTrades.querySelector("button")?.addEventListener("click", () => {
  token.value = side.value = "";
  redraw();
});

byId("copy-curl", HTMLButtonElement).addEventListener("click", async () => {
  curlText.select();
  try {
    await navigator.clipboard.writeText(curlText.value);
    said.textContent = "Copied.";
  } catch {
    said.textContent = "The browser doesn't let this page copy: it is selected, copy it yourself.";
  }
});
for (const kind of /** @type {const} */ (["csv", "json"])) {
  byId(kind, HTMLButtonElement).addEventListener("click", () => {
    if (watch === null) return;
    const trades = watch.trades.matching({ mint: token.value, side: side.value });
    const text = kind === "csv" ? csv(trades) : json(watch.address, trades, watch.summary);
    download(`${watch.address}.${kind}`, kind === "csv" ? "text/csv" : "application/json", text);
    said.textContent = `${whole(trades.length)} trades, as they are shown.`;
  });
}

// A page that waits in the browser's history must not hold the connection for other tabs.
addEventListener("pagehide", () => watch?.stop());
addEventListener("pageshow", (event) => {
  if (event.persisted) choose(fromUrl());
});

for (const name of document.querySelectorAll(".unit")) name.textContent = "SOL";
choose(fromUrl());
