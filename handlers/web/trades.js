// The trades of a wallet that have arrived, oldest first, and the position they reach.

/** @typedef {{mint: string, symbol: string, decimals: number, amount: number, amount_raw: string}} TokenAmount */
/** A trade as section "trade" of the contract has it.
 * @typedef {{
 *   signature: string, slot: number, timestamp: number, action: "buy" | "sell" | "swap",
 *   token_in: TokenAmount, token_out: TokenAmount,
 *   price_usd: number | null, value_usd: number | null, value_sol: number | null, fee_sol: number,
 *   pnl_usd: number | null, pnl_sol: number | null, cost_basis: string,
 *   unmatched_amount: number, position_amount: number, priced: boolean, dex: string,
 *   confidence: string, commitment: string, emitted_at: number,
 * }} Trade */
/** `mint` or `side` empty: all. @typedef {{mint: string, side: string}} Filter */

const SOL = "So11111111111111111111111111111111111111112";

export class Trades {
  /** Id of the last event that is in here: `<epoch>-<seq>`.
   * @type {string | null} */
  position = null;
  /** @type {Trade[]} */
  all = [];
  /** The newest trades, before their turn has come and their P&L is known.
   * @type {Trade[]} */
  #preview = [];
  /** Signatures. @type {Set<string>} */
  #known = new Set();
  /** @type {Map<string, {symbol: string, trades: number}>} */
  #tokens = new Map();

  /** Trades come once: one that is here already is left out.
   * @param {Trade[]} trades @param {string | null} id of the event they came with */
  add(trades, id) {
    for (const trade of trades) {
      if (this.#known.has(trade.signature)) continue;
      this.#known.add(trade.signature);
      this.all.push(trade);
      this.#count(trade, 1);
    }
    this.position = id;
  }

  /** A trade left the chain. @param {string} signature @param {string | null} id @returns {Trade | null} */
  retract(signature, id) {
    this.position = id;
    if (!this.#known.delete(signature)) return null;
    const index = this.all.findLastIndex((trade) => trade.signature === signature);
    const [trade] = this.all.splice(index, 1);
    this.#count(trade, -1);
    return trade;
  }

  /** @param {Trade[]} trades */
  preview(trades) {
    this.#preview = [...trades].sort((a, b) => a.slot - b.slot);
  }

  clear() {
    this.position = null;
    this.all = [];
    this.#preview = [];
    this.#known.clear();
    this.#tokens.clear();
  }

  /** Those of the preview that haven't come yet. @returns {Trade[]} */
  pending() {
    return this.#preview.filter((trade) => !this.#known.has(trade.signature));
  }

  /** Oldest first. @param {Filter} filter @returns {Trade[]} */
  matching({ mint, side }) {
    if (!mint && !side) return this.all;
    return this.all.filter(
      (trade) =>
        (!side || trade.action === side) &&
        (!mint || trade.token_in.mint === mint || trade.token_out.mint === mint),
    );
  }

  /** Those most traded first, without SOL, which is in nearly every trade.
   * @returns {{mint: string, symbol: string, trades: number}[]} */
  tokens() {
    return [...this.#tokens]
      .filter(([mint]) => mint !== SOL)
      .map(([mint, token]) => ({ mint, ...token }))
      .sort((a, b) => b.trades - a.trades);
  }

  /** @param {string} mint */
  symbol(mint) {
    return this.#tokens.get(mint)?.symbol ?? mint;
  }

  /** @param {Trade} trade @param {1 | -1} step */
  #count(trade, step) {
    for (const { mint, symbol } of [trade.token_in, trade.token_out]) {
      const token = this.#tokens.get(mint) ?? { symbol, trades: 0 };
      token.trades += step;
      if (token.trades) this.#tokens.set(mint, token);
      else this.#tokens.delete(mint);
    }
  }
}
