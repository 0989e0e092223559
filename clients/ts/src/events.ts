/** The events of a stream. Times are unix seconds unless the name says otherwise. Amounts are
 * numbers as JSON has them; `amount_raw` has all digits. A field that not every server sends is
 * optional, and one that a server leaves out all the same is undefined: it ends no stream. */

import type { Bookmark } from "./chain.js";
import type { StreamError } from "./errors.js";

export interface Token {
  mint: string;
  symbol: string;
  decimals: number;
  amount: number;
  amount_raw: string;
}

/** Final when it comes. */
export interface Trade {
  signature: string;
  slot: number;
  timestamp: number;
  action: "buy" | "sell" | "swap";
  /** What the wallet gave. */
  token_in: Token;
  /** What it got. */
  token_out: Token;
  price_usd: number | null;
  value_usd: number | null;
  value_sol: number | null;
  fee_sol: number;
  pnl_usd: number | null;
  pnl_sol: number | null;
  cost_basis: "fifo" | "average";
  unmatched_amount: number;
  position_amount: number;
  priced: boolean;
  dex: string;
  confidence: "high" | "low";
  commitment: string;
  /** Unix milliseconds. */
  emitted_at: number;
  /** Counts trades and retracts, from 1 without a hole. */
  number?: number;
}

/** Of what is in USD, null with `skipPricing`. */
export interface Summary {
  cost_basis: "fifo" | "average";
  trades: number;
  buys: number;
  sells: number;
  swaps: number;
  priced_trades: number;
  unpriced_trades: number;
  volume_sol: number;
  volume_usd: number | null;
  realized_pnl_sol: number;
  realized_pnl_usd: number | null;
  fees_sol: number;
  net_pnl_sol: number;
  unmatched_sol: number;
  unmatched_usd: number | null;
  transferred_cost_sol: number;
  tokens_traded: number;
  tokens_sold: number;
  tokens_won: number;
  win_rate: number | null;
  open_positions: number;
  first_trade_at: number | null;
  last_trade_at: number | null;
}

export type Step =
  | "initializing"
  | "fetching_signatures"
  | "fetching_transactions"
  | "processing_trades"
  | "calculating_pnl"
  | "complete";

/** Data by the name of the event. `wallet` names one of several. */
export interface EventData {
  connected: {
    stream_id: string;
    wallet: string | null;
    wallets?: string[];
    timestamp: number;
    resumed: boolean;
    heartbeat_seconds: number;
    follow: boolean;
    server: string;
  };
  /** The newest trades, without P&L, while a long history is still being listed. */
  preview: { wallet?: string; trades: Trade[]; timestamp: number };
  progress: {
    wallet?: string;
    message: string;
    percentage: number;
    step: Step;
    signatures_found: number;
    transactions_done: number;
    trades_found: number;
    timestamp: number;
  };
  trade: Trade & { wallet?: string };
  /** A batch, where `batch` was asked for. */
  trades: {
    wallet?: string;
    trades: Trade[];
    batch_num: number;
    total_yielded: number;
    has_more: boolean;
    timestamp: number;
  };
  summary: Summary & { wallet?: string };
  complete: {
    wallet?: string;
    status: "complete";
    trades_found: number;
    /** Seconds. */
    duration: number;
    summary: Summary;
    metrics: {
      signatures_found: number;
      transactions: number;
      failed_transactions: number;
      unpriced_trades: number;
    };
    truncated: boolean;
    timestamp: number;
    /** How many trades and retracts came before. */
    entries?: number;
    /** The hash chain over them, in hex. */
    digest?: string;
  };
  /** The trade of this signature left the chain with a fork. */
  retract: { wallet?: string; signature: string; number?: number };
  heartbeat: { timestamp: number };
  /** Discard what you hold (of `wallet`, where it is named): the whole history follows. `mismatch` is
   * made by this client: what came was not what the server proves. */
  gap: {
    wallet?: string;
    reason: "unknown_id" | "expired" | "reset" | "mismatch";
    from: string;
    to: string | null;
  };
  bye: { reason: string; reconnect_after_ms: number };
  /** Made by this client: the stream ended because of `cause` and is asked for again after
   * `seconds`. */
  away: { seconds: number; cause: StreamError };
}

/** `id`: the position after this event, for `lastEventId`; most events have none. `bookmark`: the same
 * with the state of the digest, where the event has an id. `verified`, of a `complete`: its digest is
 * the one of what came, from the beginning of the history. */
export type StreamEvent = {
  [Name in keyof EventData]: {
    event: Name;
    id: string | null;
    data: EventData[Name];
    bookmark?: Bookmark;
    verified?: boolean;
  };
}[keyof EventData];

/** What the server says before it ends the stream. It is thrown, or waited for, and not yielded. */
export interface ErrorData {
  wallet?: string;
  error: string;
  code: string;
  details: { retry_after?: number };
  timestamp: number;
}
