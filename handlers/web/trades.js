// The trades of a wallet that have arrived, oldest first, and the position they reach.

/** @typedef {{mint: string, symbol: string, decimals: number, amount: number, amount_raw: string}} TokenAmount */
/** A trade as section "trade" of the contract has it. Older servers and entries don't have what is
 * optional: such a trade is the only one of its transaction.
 * @typedef {{
 *   signature: string, part?: number, parts?: number, slot: number, block_index?: number | null,
 *   timestamp: number, action: "buy" | "sell" | "swap" | "burn",
 *   token_in: TokenAmount, token_out: TokenAmount,
 *   price_usd: number | null, value_usd: number | null, value_sol: number | null, fee_sol: number,
 *   network_fee_sol?: number, tip_sol?: number, platform_fee_sol?: number,
 *   pnl_usd: number | null, pnl_sol: number | null, cost_basis: string,
 *   unmatched_amount: number, position_amount: number, priced: boolean, dex: string,
 *   confidence: string, commitment: string, emitted_at: number,
 *   replaces?: string,
 * }} Trade */
/** `mint` or `side` empty: all. @typedef {{mint: string, side: string}} Filter */

const SOL = "So11111111111111111111111111111111111111112";

export class Trades {
  /** Id of the last event that is in here: `<epoch>-<seq>`.
   * @type {string | null} */
  position = null;
  /** Null: to be made from the transactions. @type {Trade[] | null} */
  #all = [];
  /** By signature, then by part, in the order of the list. One without trades keeps the place of
   * what was retracted, because a corrected trade stands in the place of its first version.
   * @type {Map<string, Map<number, Trade>>} */
  #transactions = new Map();
  /** The newest trades, before their turn has come and their P&L is known.
   * @type {Trade[]} */
  #preview = [];
  /** @type {Map<string, {symbol: string, trades: number}>} */
  #tokens = new Map();

  /** Oldest first; a corrected trade stands in the place of its first version.
   * @returns {Trade[]} */
  get all() {
    this.#all ??= [...this.#transactions.values()].flatMap((parts) => [...parts.values()]);
    return this.#all;
  }

  /** Trades come once: one that is here already is left out.
   * @param {Trade[]} trades @param {string | null} id of the event they came with */
  add(trades, id) {
    for (const trade of trades) {
      if (!this.#has(trade)) this.#add(trade);
    }
    this.position = id;
  }

  /** Take back all trades of a transaction.
   * @param {string} signature @param {string | null} id @returns {Trade[]} those that were here */
  retract(signature, id) {
    this.position = id;
    const parts = this.#transactions.get(signature) ?? new Map();
    const gone = [...parts.values()];
    parts.clear();
    for (const trade of gone) this.#count(trade, -1);
    if (gone.length) this.#all = null;
    return gone;
  }

  /** @param {Trade[]} trades */
  preview(trades) {
    this.#preview = [...trades].sort((a, b) => a.slot - b.slot);
  }

  clear() {
    this.position = null;
    this.#all = [];
    this.#preview = [];
    this.#transactions.clear();
    this.#tokens.clear();
  }

  /** Those of the preview that haven't come yet. @returns {Trade[]} */
  pending() {
    return this.#preview.filter((trade) => !this.#has(trade));
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

  /** Whether it is one of `tokens()`. @param {string} mint */
  hasTraded(mint) {
    return mint !== SOL && this.#tokens.has(mint);
  }

  /** @param {string} mint */
  symbol(mint) {
    return this.#tokens.get(mint)?.symbol ?? mint;
  }

  /** @param {Trade} trade */
  #has({ signature, part = 0 }) {
    return this.#transactions.get(signature)?.has(part) ?? false;
  }

  /** @param {Trade} trade */
  #add(trade) {
    const { signature, part = 0, replaces } = trade;
    // What comes again without replacing anything was on another fork before.
    if (!replaces && this.#transactions.get(signature)?.size === 0) {
      this.#transactions.delete(signature);
    }
    const parts = this.#transactions.get(signature) ?? new Map();
    const isLast = !this.#transactions.has(signature) || this.#all?.at(-1)?.signature === signature;
    this.#transactions.set(signature, parts.set(part, trade));
    if (isLast) this.#all?.push(trade);
    else this.#all = null;
    this.#count(trade, 1);
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
