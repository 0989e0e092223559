/** A wallet's trades, kept as its events say.
 *
 * A trade's key is (`signature`, `part`): a transaction that traded several tokens has several
 * trades. So the trades are kept by transaction. A `retract` empties its transaction and leaves the
 * place empty, because a corrected trade stands in the place of its first version. A trade that comes
 * again without `replaces` was on another fork before, and goes to the end. */

import type { StreamEvent, Trade } from "./events.js";

/** The trades of one wallet that count, oldest first. Hand every event of the wallet to `take`. */
export class TradeList implements Iterable<Trade> {
  /** By signature, then by part. One without trades keeps the place of what was retracted. */
  readonly #transactions = new Map<string, Map<number, Trade>>();

  *[Symbol.iterator](): Iterator<Trade> {
    for (const parts of this.#transactions.values()) yield* parts.values();
  }

  get size(): number {
    let count = 0;
    for (const parts of this.#transactions.values()) count += parts.size;
    return count;
  }

  /** Events that change no trades change nothing here. */
  take(event: StreamEvent): void {
    switch (event.event) {
      case "trade":
        this.#add(event.data);
        break;
      case "trades":
        event.data.trades.forEach((trade) => this.#add(trade));
        break;
      case "retract":
        this.#transactions.get(event.data.signature)?.clear();
        break;
      case "gap":
        this.#transactions.clear();
        break;
    }
  }

  #add(trade: Trade): void {
    const { signature, replaces } = trade;
    let parts = this.#transactions.get(signature);
    if (parts !== undefined && parts.size === 0 && replaces === undefined) {
      this.#transactions.delete(signature);
      parts = undefined;
    }
    if (parts === undefined) this.#transactions.set(signature, (parts = new Map()));
    parts.set(trade.part ?? 0, trade); // an older server sends no part
  }
}
