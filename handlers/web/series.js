// What the charts show, from trades: columns of numbers, times in unix seconds.

/** @typedef {import("./trades.js").Trade} Trade */
/** @typedef {import("./figures.js").Unit} Unit */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
// Widths that people think in, and as many bars as stay apart on a laptop.
const WIDTHS = [
  ...[MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR],
  ...[DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY, 91 * DAY],
];
const BARS_MOST = 80;

/** Realized P&L, added up; one point a second.
 * @param {Trade[]} trades oldest first @param {Unit} unit @returns {[number[], number[]]} */
export function cumulativePnl(trades, unit) {
  /** @type {number[]} */
  const times = [];
  /** @type {number[]} */
  const sums = [];
  let sum = 0;
  for (const trade of trades) {
    sum += (unit === "sol" ? trade.pnl_sol : trade.pnl_usd) ?? 0;
    const last = times.length - 1;
    // The chain's clock may go back a little from one slot to the next; a chart's may not.
    if (last >= 0 && trade.timestamp <= times[last]) sums[last] = sum;
    else {
      times.push(trade.timestamp);
      sums.push(sum);
    }
  }
  return [times, sums];
}

/** Volume in bars of one width, each at its middle; `width` in seconds.
 * @param {Trade[]} trades oldest first @param {Unit} unit
 * @returns {{columns: [number[], number[]], width: number}} */
export function volume(trades, unit) {
  if (trades.length === 0) return { columns: [[], []], width: MINUTE };
  const first = trades[0].timestamp;
  const span = trades[trades.length - 1].timestamp - first;
  const width = WIDTHS.find((each) => span / each <= BARS_MOST) ?? WIDTHS[WIDTHS.length - 1];
  /** @type {Map<number, number>} */
  const bars = new Map();
  for (const trade of trades) {
    const value = (unit === "sol" ? trade.value_sol : trade.value_usd) ?? 0;
    const bar = Math.floor(trade.timestamp / width);
    bars.set(bar, (bars.get(bar) ?? 0) + value);
  }
  const sorted = [...bars].sort(([a], [b]) => a - b);
  return {
    columns: [sorted.map(([bar]) => (bar + 0.5) * width), sorted.map(([, value]) => value)],
    width,
  };
}
