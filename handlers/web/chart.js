// Two charts below each other with one time axis: cumulative P&L, and volume.

import { day, gain, money, time } from "./figures.js";
import { cumulativePnl, volume } from "./series.js";

/** @typedef {import("./trades.js").Trade} Trade */
/** @typedef {import("./figures.js").Unit} Unit */

// The library in vendor/uplot.js is a classic script.
const uPlot = /** @type {any} */ (globalThis).uPlot;

const PNL_HEIGHT = 200;
const VOLUME_HEIGHT = 92;
const TICK_SPACE = 26; // pixels between two lines at least
const AXIS_WIDTH = 64; // the same in both, so that their times stand below each other
const FONT = "12px system-ui, sans-serif";
const SYNC = "time";
const DAY = 86_400; // seconds
const TICKS = new Intl.NumberFormat("en-US", { notation: "compact" });

export class Chart {
  /** @type {Trade[]} */
  #trades = [];
  /** @type {Unit} */
  #unit = "sol";
  #pnl;
  #volume;
  #readout;
  /** @type {any[]} */
  #plots = [];
  #barWidth = 0;

  /** @param {HTMLElement} pnl @param {HTMLElement} volume where they go
   * @param {HTMLElement} readout says what is below the pointer */
  constructor(pnl, volume, readout) {
    this.#pnl = pnl;
    this.#volume = volume;
    this.#readout = readout;
    new ResizeObserver(() => this.#resize()).observe(pnl);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#rebuild());
  }

  /** @param {Trade[]} trades oldest first, one at least @param {Unit} unit */
  show(trades, unit) {
    const sameUnit = unit === this.#unit;
    this.#trades = trades;
    this.#unit = unit;
    const bars = volume(trades, unit);
    const sums = cumulativePnl(trades, unit);
    this.#barWidth = bars.width;
    this.#describe(sums);
    if (this.#plots.length === 0 || !sameUnit) this.#rebuild();
    else {
      this.#plots[0].setData(sums);
      this.#plots[1].setData(bars.columns);
    }
    this.#say(null);
  }

  #rebuild() {
    if (this.#trades.length === 0) return;
    for (const plot of this.#plots) plot.destroy();
    const { columns } = volume(this.#trades, this.#unit);
    const sums = cumulativePnl(this.#trades, this.#unit);
    this.#plots = [
      new uPlot(this.#options(PNL_HEIGHT, this.#pnlSeries(), false), sums, this.#pnl),
      new uPlot(this.#options(VOLUME_HEIGHT, this.#bars(), true), columns, this.#volume),
    ];
  }

  #resize() {
    const width = this.#pnl.clientWidth;
    if (!width) return;
    for (const plot of this.#plots) plot.setSize({ width, height: plot.height });
  }

  #pnlSeries() {
    const line = colour("--accent");
    return { stroke: line, fill: colour("--accent-soft"), width: 1.5, points: { show: false },
      paths: uPlot.paths.stepped({ align: 1 }) };
  }

  #bars() {
    return { fill: colour("--bar"), stroke: colour("--bar"), width: 0, points: { show: false },
      paths: uPlot.paths.bars({ size: [0.75, 24] }) };
  }

  /** @param {number} height @param {object} series @param {boolean} fromZero */
  #options(height, series, fromZero) {
    const lines = {
      stroke: colour("--quiet"),
      font: FONT,
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
    };
    const values = (/** @type {any} */ _, /** @type {number[]} */ splits) => splits.map(tick);
    return {
      width: this.#pnl.clientWidth || 600,
      height,
      legend: { show: false },
      cursor: { sync: { key: SYNC, scales: ["x", null] }, y: false, drag: { x: false, y: false } },
      scales: {
        x: { range: () => this.#span() },
        y: { range: (/** @type {any} */ _, /** @type {number} */ low, /** @type {number} */ high) =>
          padded(Math.min(low ?? 0, 0), Math.max(high ?? 0, 0), fromZero) },
      },
      // The lower one says the times for both.
      axes: [
        fromZero ? { ...lines, size: 26, values: times } : { ...lines, size: 8, values: () => [] },
        { ...lines, size: AXIS_WIDTH, space: TICK_SPACE, values },
      ],
      series: [{}, series],
      hooks: { setCursor: [(/** @type {any} */ plot) => this.#say(plot)] },
    };
  }

  /** The time that both charts show. @returns {[number, number]} */
  #span() {
    const first = this.#trades[0].timestamp;
    const last = this.#trades[this.#trades.length - 1].timestamp;
    const margin = Math.max((last - first) / 100, this.#barWidth / 2, 30);
    return [first - margin, last + margin];
  }

  /** What is below the pointer, or the newest. @param {any} plot */
  #say(plot) {
    if (this.#plots.length === 0) return; // they are being made
    const [times, sums] = this.#plots[0].data;
    const at = plot?.cursor.left >= 0 ? plot.posToVal(plot.cursor.left, "x") : Infinity;
    const index = Math.max(0, closest(times, at));
    const unit = this.#unit.toUpperCase();
    this.#readout.textContent = `${time(times[index])}  ${gain(sums[index], this.#unit)} ${unit}`;
  }

  /** For those who can't see it. @param {[number[], number[]]} sums */
  #describe([times, sums]) {
    const unit = this.#unit;
    const name = unit.toUpperCase();
    const last = times.length - 1;
    const lowest = sums.reduce((a, b) => Math.min(a, b));
    const highest = sums.reduce((a, b) => Math.max(a, b));
    const span = `from ${day(times[0])} to ${day(times[last])}`;
    this.#pnl.setAttribute(
      "aria-label",
      `Cumulative realized P&L ${span}: now ${money(sums[last], unit)} ${name}, ` +
        `lowest ${money(lowest, unit)}, highest ${money(highest, unit)}.`,
    );
    const total = this.#trades.reduce(
      (sum, trade) => sum + ((unit === "sol" ? trade.value_sol : trade.value_usd) ?? 0),
      0,
    );
    this.#volume.setAttribute("aria-label", `Volume ${span}: ${money(total, unit)} ${name} in all.`);
  }
}

/** The last time that isn't after `at`. @param {number[]} times @param {number} at */
function closest(times, at) {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= at) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** @param {number} low @param {number} high @param {boolean} fromZero @returns {[number, number]} */
function padded(low, high, fromZero) {
  if (low === high) return fromZero ? [0, 1] : [-1, 1];
  const margin = (high - low) * 0.08;
  return [low < 0 ? low - margin : 0, high > 0 ? high + margin : 0];
}

/** Days, and the time of day where lines are closer.
 * @param {any} _plot @param {number[]} splits unix seconds @param {number} _axis
 * @param {number} _space @param {number} step seconds between two */
function times(_plot, splits, _axis, _space, step) {
  return splits.map((at) => {
    const clock = time(at).slice(11, 16);
    return step >= DAY || clock === "00:00" ? day(at).slice(5) : clock;
  });
}

/** @param {number} value */
function tick(value) {
  return TICKS.format(value).replace("-", "\u2212");
}

/** @param {string} name of a custom property */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
