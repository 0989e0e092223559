// The trades as files, and the stream as a command.

/** @typedef {import("./trades.js").Trade} Trade */
/** @typedef {import("./trades.js").TokenAmount} TokenAmount */

/** @type {[name: string, value: (trade: Trade) => string | number | boolean | null | undefined][]} */
const COLUMNS = [
  ["signature", (trade) => trade.signature],
  ["slot", (trade) => trade.slot],
  ["time", (trade) => moment(trade.timestamp)],
  ["action", (trade) => trade.action],
  ["gave_amount", (trade) => exact(trade.token_in)],
  ["gave_symbol", (trade) => trade.token_in.symbol],
  ["gave_mint", (trade) => trade.token_in.mint],
  ["got_amount", (trade) => exact(trade.token_out)],
  ["got_symbol", (trade) => trade.token_out.symbol],
  ["got_mint", (trade) => trade.token_out.mint],
  ["value_sol", (trade) => trade.value_sol],
  ["value_usd", (trade) => trade.value_usd],
  ["price_usd", (trade) => trade.price_usd],
  ["fee_sol", (trade) => trade.fee_sol],
  ["pnl_sol", (trade) => trade.pnl_sol],
  ["pnl_usd", (trade) => trade.pnl_usd],
  ["unmatched_amount", (trade) => trade.unmatched_amount],
  ["position_amount", (trade) => trade.position_amount],
  ["dex", (trade) => trade.dex],
  ["confidence", (trade) => trade.confidence],
  ["part", (trade) => trade.part],
  ["parts", (trade) => trade.parts],
  ["block_index", (trade) => trade.block_index],
  ["replaces", (trade) => trade.replaces],
  ["network_fee_sol", (trade) => trade.network_fee_sol],
  ["tip_sol", (trade) => trade.tip_sol],
  ["platform_fee_sol", (trade) => trade.platform_fee_sol],
];

/** RFC 4180. @param {Trade[]} trades @returns {string} */
export function csv(trades) {
  const lines = trades.map((trade) => COLUMNS.map(([, value]) => field(value(trade))).join(","));
  return [COLUMNS.map(([name]) => name).join(","), ...lines, ""].join("\r\n");
}

/** @param {string} address @param {Trade[]} trades @param {object | null} summary */
export function json(address, trades, summary) {
  return JSON.stringify({ wallet: address, summary, trades }, null, 1);
}

/** @param {string} address @param {boolean} withKey */
export function curl(address, withKey) {
  const url = new URL(`/v4/wallet/${address}/stream?follow=true`, location.href).href;
  return `curl -N ${withKey ? '-H "Authorization: Bearer $WD_KEY" ' : ""}'${url}'`;
}

/** @param {string} name @param {string} kind @param {string} text */
export function download(name, kind, text) {
  const url = URL.createObjectURL(new Blob([text], { type: kind }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser reads it after this turn; a minute is plenty.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** The number itself where it is none of a calendar's. @param {number} seconds unix */
function moment(seconds) {
  const at = new Date(seconds * 1000);
  return Number.isNaN(at.getTime()) ? seconds : at.toISOString();
}

/** All digits, which a number in JavaScript may not hold. @param {TokenAmount} leg */
function exact({ amount_raw: raw, decimals }) {
  if (decimals === 0) return raw;
  const digits = raw.padStart(decimals + 1, "0");
  const fraction = digits.slice(-decimals).replace(/0+$/, "");
  return digits.slice(0, -decimals) + (fraction && `.${fraction}`);
}

/** Names of tokens are anybody's text: a spreadsheet must not take one for a formula. Some take the
 * wide forms of the signs as well.
 * @param {string | number | boolean | null | undefined} value
 */
function field(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "string") return String(value);
  const text = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
