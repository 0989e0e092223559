// What stands around the list: progress, notices, totals, positions, wallets to choose.

import {
  NONE, abbreviated, amount, day, direction, gain, lamports, money, percent, tokenName, whole,
} from "./figures.js";
import { toUrl } from "./wallet.js";

/** @typedef {import("./figures.js").Unit} Unit */
/** @typedef {import("./trades.js").Trade} Trade */
/** @typedef {import("./watch.js").Watch} Watch */
/** @typedef {[name: string, text: string, kind?: string, explained?: string]} Total */

// Fields of a summary, all in SOL, that older servers don't send.
/** @type {[field: string, label: string, explained: string][]} */
const FEES = [
  ["network_fees_sol", "Network fees", "Base and priority fees"],
  ["tips_sol", "Tips", "Paid for being included in a block"],
  ["platform_fees_sol", "Platform fees", "What bots, front ends and venues took"],
  ["failed_fees_sol", "Failed", "Fees of transactions that failed"],
];
// Most wallets have none of these.
/** @type {[field: string, label: string, explained: string][]} */
const SELDOM = [
  ["round_trip_pnl_sol", "Round trips", "Result of transactions that end in what they began with"],
  ["rent_locked_sol", "Rent locked", "Deposits for accounts, which come back when they close"],
  ["unexplained_sol", "Unexplained", "What no rule of the server explains"],
];

/** @param {HTMLElement} box @param {Watch} watch */
export function showProgress(box, watch) {
  const { progress, complete } = watch;
  const failed = watch.state.kind === "closed" || watch.state.kind === "locked";
  box.hidden = complete !== null || failed;
  if (box.hidden) return;
  const percentage = progress?.percentage ?? 0;
  const bar = part(box, "#progress-bar");
  bar.setAttribute("aria-valuenow", String(percentage));
  part(bar, "div").style.width = `${percentage}%`;
  part(box, "#progress-text").textContent = `${percentage} %  ${progress?.message ?? "Waiting for the server."}`;
  const found = progress?.signatures_found
    ? `${whole(progress.transactions_done)} of ${whole(progress.signatures_found)} transactions, ` +
      `${whole(progress.trades_found)} trades`
    : "";
  part(box, "#progress-counts").textContent = found;
}

/** @param {HTMLElement} box @param {Watch} watch */
export function showNotices(box, watch) {
  const { complete } = watch;
  const texts = watch.notices.map(({ text }) => text);
  const truncated = complete?.truncated
    ? `Only this wallet's newest ${whole(complete.metrics.transactions)} transactions were read. ` +
      "What it bought before has no known cost."
    : "";
  const said = [...texts, truncated].join("\n");
  if (box.dataset.said === said) return; // a screen reader would tell it again
  box.dataset.said = said;
  const notices = watch.notices.map((notice) => {
    const line = element("p", notice.text, `notice ${notice.tone}`);
    const dismiss = element("button", "Dismiss");
    dismiss.setAttribute("type", "button");
    dismiss.addEventListener("click", () => watch.dismiss(notice));
    line.append(dismiss);
    return line;
  });
  box.replaceChildren(...notices, ...(truncated ? [element("p", truncated, "notice")] : []));
}

/** The server's totals once they are there, until then those of what has arrived.
 * @param {HTMLElement} list @param {HTMLElement} when @param {Watch} watch @param {Unit} unit */
export function showTotals(list, when, watch, unit) {
  const summary = watch.summary ?? provisional(watch.trades.all);
  when.textContent = span(summary) + (watch.summary ? "" : " so far");
  const name = unit.toUpperCase();
  const pnl = summary[`realized_pnl_${unit}`];
  /** @type {Total[]} */
  const totals = [
    [`Realized P&L, ${name}`, gain(pnl, unit), `lead ${direction(pnl, unit)}`, "Before fees"],
    ["After fees, SOL", gain(summary.net_pnl_sol, "sol"), direction(summary.net_pnl_sol, "sol")],
    ["Fees, SOL", money(summary.fees_sol, "sol")],
    ...added(FEES, summary, (value) => value !== undefined && value !== null),
    [`Volume, ${name}`, money(summary[`volume_${unit}`], unit)],
    ["Trades", whole(summary.trades), "", counts(summary)],
    ["Tokens won", wins(summary), "", "Of the tokens it sold, those that made a profit"],
    [`Without known cost, ${name}`, money(summary[`unmatched_${unit}`], unit), "", known(summary)],
    ...added(SELDOM, summary, (value) => Boolean(value)),
  ];
  list.replaceChildren(
    ...totals.map(([label, text, kind = "", explained = ""]) => {
      const box = element("div", "", kind);
      box.title = explained;
      box.append(element("dt", label), element("dd", text));
      return box;
    }),
  );
}

/** @type {Record<string, string>} what follows a comparison that isn't whole */
const WHY = {
  truncated: ": older transactions were not read",
  unexplained: ": a balance changed and no transaction explains it",
  refused: ": the server's Solana RPC doesn't tell balances",
  no_answer: ": the server's Solana RPC didn't answer in time",
  behind: ": the server's Solana RPC answered for an old slot",
};

/** Whether the server's books agree with the chain.
 * @param {HTMLElement} line @param {Watch} watch */
export function showBooks(line, watch) {
  const found = watch.complete?.reconciliation;
  line.hidden = !found;
  if (found) line.textContent = books(found);
}

/** @param {import("./watch.js").Reconciliation} found */
function books({ status, reason, slot, sol, tokens_differ: tokens }) {
  const why = (reason && WHY[reason]) ?? "";
  if (status === "agrees") {
    const agrees = `The books agree with the chain to the lamport at slot ${whole(slot ?? 0)}`;
    return reason === "truncated" ? `${agrees}, as far back as they go.` : `${agrees}.`;
  }
  if (status === "differs") {
    const more = lamports(sol?.difference ?? 0);
    return `The chain has ${more} SOL and differs in ${whole(tokens)} tokens${why}.`;
  }
  return `The books were not compared with the chain${why}.`;
}

/** A token that was only received, staked or the like has no trades to lead to.
 * @param {string} mint @param {Watch} watch @param {(mint: string) => void} onChoose */
function heldToken(mint, watch, onChoose) {
  const text = tokenName(watch.trades.symbol(mint), mint);
  if (!watch.trades.hasTraded(mint)) return element("span", text, "token");
  const name = element("button", text, "token");
  name.setAttribute("type", "button");
  name.title = `Only trades of ${mint}`;
  name.addEventListener("click", () => onChoose(mint));
  return name;
}

/** @param {HTMLElement} section @param {Watch} watch @param {Unit} unit
 * @param {(mint: string) => void} onChoose a token's trades are wanted */
export function showPositions(section, watch, unit, onChoose) {
  const cost = `cost_${unit}`;
  const positions = /** @type {Record<string, any>[]} */ (watch.positions ?? []).toSorted(
    (a, b) => (b[cost] ?? -1) - (a[cost] ?? -1),
  );
  part(section, "#positions-count").textContent = watch.positions ? whole(positions.length) : "";
  part(section, ".scroll").hidden = positions.length === 0;
  const none = part(section, "#no-positions");
  none.hidden = positions.length > 0;
  none.textContent = watch.positions ? "Nothing is held." : "Known when the history is complete.";
  part(section, "tbody").replaceChildren(
    ...positions.map((position) => {
      const row = document.createElement("tr");
      const token = document.createElement("td");
      token.append(heldToken(position.mint, watch, onChoose));
      row.append(
        token,
        element("td", whereabouts(position), "number"),
        element("td", money(position[cost], unit), "number"),
      );
      return row;
    }),
  );
}

/** How much the wallet has itself, and how much programs keep for it.
 * @param {Record<string, any>} position */
function whereabouts(position) {
  const kept = (position.in_custody ?? []).map(
    (/** @type {{amount: number, place: string}} */ each) => `${amount(each.amount)} in ${each.place}`,
  );
  return [...(position.held === false ? [] : [amount(position.amount)]), ...kept].join(" + ");
}

/** @param {HTMLElement} box @param {{address: string, said: string}[]} wallets */
export function showWallets(box, wallets) {
  box.hidden = wallets.length === 0;
  part(box, "ul").replaceChildren(
    ...wallets.map(({ address, said }) => {
      const item = document.createElement("li");
      const link = element("a", address);
      link.setAttribute("href", toUrl(address));
      item.append(link, element("span", said, "quiet"));
      return item;
    }),
  );
}

/** @param {HTMLSelectElement} select @param {Watch} watch */
export function showTokens(select, watch) {
  const tokens = watch.trades.tokens();
  const options = tokens.map(({ mint, symbol, trades }) => {
    const name = tokenName(symbol, mint);
    const whose = name === abbreviated(mint) ? "" : ` \u00b7 ${abbreviated(mint)}`;
    return new Option(`${name} (${whole(trades)})${whose}`, mint, false, mint === select.value);
  });
  select.replaceChildren(new Option("all", ""), ...options);
}

/** @param {typeof FEES} fields @param {Record<string, any>} summary
 * @param {(value: number | null | undefined) => boolean} isShown @returns {Total[]} */
function added(fields, summary, isShown) {
  return fields
    .filter(([field]) => isShown(summary[field]))
    .map(([field, label, explained]) => [`${label}, SOL`, money(summary[field], "sol"), "", explained]);
}

/** @param {Record<string, any>} summary */
function known({ known_cost_share: share }) {
  const all = "Got for what was sold without a known purchase: in no P&L";
  return share === undefined || share === null ? all : `${all}. ${percent(share)} of what was got has a known cost`;
}

/** A burn is a trade, and none of the other three.
 * @param {Record<string, any>} summary */
function counts({ trades, buys, sells, swaps }) {
  const burns = trades - buys - sells - swaps;
  return `${whole(buys)} buys, ${whole(sells)} sells, ${whole(swaps)} swaps` +
    (burns > 0 ? `, ${whole(burns)} burns` : "");
}

/** @param {Record<string, any>} summary */
function wins({ tokens_won: won, tokens_sold: sold, win_rate: rate }) {
  if (!sold) return NONE;
  return `${percent(rate)} (${whole(won)} of ${whole(sold)})`;
}

/** @param {Record<string, any>} summary */
function span({ first_trade_at: first, last_trade_at: last }) {
  return first === null ? "" : `${day(first)} \u2013 ${day(last)}`;
}

/** @param {Trade[]} trades @returns {Record<string, any>} */
function provisional(trades) {
  const totals = {
    ...{ trades: trades.length, buys: 0, sells: 0, swaps: 0, burns: 0, volume_sol: 0, volume_usd: 0 },
    ...{ realized_pnl_sol: 0, realized_pnl_usd: 0, fees_sol: 0, net_pnl_sol: 0 },
    ...{ unmatched_sol: null, unmatched_usd: null, tokens_sold: 0 },
    first_trade_at: trades.at(0)?.timestamp ?? null,
    last_trade_at: trades.at(-1)?.timestamp ?? null,
  };
  for (const trade of trades) {
    totals[/** @type {const} */ (`${trade.action}s`)]++;
    totals.volume_sol += trade.value_sol ?? 0;
    totals.volume_usd += trade.value_usd ?? 0;
    totals.realized_pnl_sol += trade.pnl_sol ?? 0;
    totals.realized_pnl_usd += trade.pnl_usd ?? 0;
    totals.fees_sol += trade.fee_sol;
  }
  totals.net_pnl_sol = totals.realized_pnl_sol - totals.fees_sol;
  return totals;
}

/** @param {ParentNode} parent @param {string} selector @returns {HTMLElement} */
function part(parent, selector) {
  return /** @type {HTMLElement} */ (parent.querySelector(selector));
}

/** @param {string} name @param {string} text @param {string} [kind] its classes */
function element(name, text, kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}
