// How figures, times and names are written. Digits stand below each other, so each kind of figure
// has a fixed number of decimals, and minus is as wide as plus.

/** @typedef {"sol" | "usd"} Unit */

const MINUS = "\u2212";
export const NONE = "\u2014";
const DECIMALS = { sol: 4, usd: 2 };

/** @param {number} decimals */
const fixed = (decimals) =>
  new Intl.NumberFormat("en-US", {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
  });
const MONEY = { sol: fixed(DECIMALS.sol), usd: fixed(DECIMALS.usd) };
const WHOLE = fixed(0);
const SHORT = fixed(4);
const SMALL = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 4 });
const LARGE = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 2 });

/** @param {string} text */
const typographic = (text) => text.replace("-", MINUS);

/** @param {number} value */
export function whole(value) {
  return WHOLE.format(value);
}

/** @param {number | null} value @param {Unit} unit */
export function money(value, unit) {
  return value === null ? NONE : typographic(MONEY[unit].format(value));
}

const EXACT = new Intl.NumberFormat("en-US", { maximumFractionDigits: 9, signDisplay: "always" });

/** SOL with its sign, to the lamport.
 * @param {number} value */
export function lamports(value) {
  return typographic(EXACT.format(value));
}

/** With its sign, also in shape: colour alone would not be seen by everybody.
 * @param {number | null} value @param {Unit} unit */
export function gain(value, unit) {
  if (value === null) return NONE;
  const text = MONEY[unit].format(Math.abs(value));
  if (!/[1-9]/.test(text)) return text;
  return value > 0 ? `\u25b2 +${text}` : `\u25bc ${MINUS}${text}`;
}

/** @param {number | null} value @param {Unit} unit @returns {"up" | "down" | "even"} */
export function direction(value, unit) {
  if (value === null || !/[1-9]/.test(MONEY[unit].format(Math.abs(value)))) return "even";
  return value > 0 ? "up" : "down";
}

/** An amount of a token, as exact as a narrow column is.
 * @param {number} value */
export function amount(value) {
  const size = Math.abs(value);
  if (size >= 1e9) return typographic(LARGE.format(value));
  if (size >= 1e4) return typographic(WHOLE.format(value));
  return typographic((size >= 0.001 || size === 0 ? SHORT : SMALL).format(value));
}

/** @param {number | null} share 0 to 1 */
export function percent(share) {
  return share === null ? NONE : `${(share * 100).toFixed(0)} %`;
}

/** @param {number} value */
const two = (value) => String(value).padStart(2, "0");

/** Local time. @param {number} seconds unix @returns {string} 2026-11-24 21:45:09 */
export function time(seconds) {
  const at = new Date(seconds * 1000);
  if (Number.isNaN(at.getTime())) return NONE;
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return `${day(seconds)} ${clock}`;
}

/** @param {number} seconds unix @returns {string} 2026-11-24 */
export function day(seconds) {
  const at = new Date(seconds * 1000);
  if (Number.isNaN(at.getTime())) return NONE;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

/** @param {string} text an address or signature */
export function abbreviated(text) {
  return text.length > 12 ? `${text.slice(0, 4)}\u2026${text.slice(-4)}` : text;
}

/** A token's name; one without is named by its mint. Names come from the chain, where anybody may
 * choose any text.
 * @param {string} symbol @param {string} mint */
export function tokenName(symbol, mint) {
  return symbol === mint || !symbol ? abbreviated(mint) : symbol.slice(0, 16);
}
