/** The kinds of events, and the data of each. A field that not every server sends is
 * optional.
 *
 * Written from the server's table of events by `make docs`: don't edit it. */

export type Step =
  | "initializing"
  | "fetching_signatures"
  | "fetching_transactions"
  | "processing_trades"
  | "calculating_pnl"
  | "complete";

export type GapReason =
  | "unknown_id"
  | "expired"
  | "reset";

export type ByeReason =
  | "shutdown"
  | "lifetime"
  | "token_expired"
  | "revoked"
  | "slow"
  | "closed_by_owner";

export type Code =
  | "AT_CAPACITY"
  | "AUTH_REQUIRED"
  | "DRAINING"
  | "FORBIDDEN_WALLET"
  | "INTERNAL_ERROR"
  | "INVALID_KEY"
  | "INVALID_PARAMETER"
  | "INVALID_WALLET"
  | "RATE_LIMIT"
  | "STORE_UNAVAILABLE"
  | "TOKEN_EXPIRED"
  | "TOO_MANY_STREAMS"
  | "UNKNOWN_WALLET"
  | "UPSTREAM_QUOTA"
  | "UPSTREAM_RATE_LIMIT"
  | "UPSTREAM_REJECTED"
  | "UPSTREAM_UNAVAILABLE";

/** The stream is open: who it is and how it was taken up. */
export interface Connected {
  /** Names this connection, in logs too: give it when you ask for help. */
  stream_id: string;
  /** The wallet; null where there are several. */
  wallet: string | null;
  /** Unix seconds when this was sent. */
  timestamp: number;
  /** Whether it goes on where `Last-Event-ID` says. */
  resumed: boolean;
  /** The longest silence. After three of them the connection is dead. */
  heartbeat_seconds: number;
  /** Whether it stays open for new trades. */
  follow: boolean;
  /** Name and version of the server. */
  server: string;
  /** The wallets in the order of the request, where there are several. */
  wallets?: string[];
}

export interface Token {
  /** The token's address. SOL stands under wrapped SOL's. */
  mint: string;
  /** As its maker chose it: show it as text. The mint where there is none. */
  symbol: string;
  /** Decimals of one whole token. */
  decimals: number;
  /** In whole tokens. */
  amount: number;
  /** In smallest units, an integer with all its digits. */
  amount_raw: string;
}

export interface PostedAmount {
  /** What it was. */
  kind: "network_fee" | "priority_fee" | "tip" | "platform_fee" | "rent_locked" | "rent_returned" | "sold" | "bought" | "sent" | "received" | "custody_out" | "custody_in" | "minted" | "burned" | "reward" | "leftover" | "unexplained";
  /** The token's address. SOL stands under wrapped SOL's. */
  mint: string;
  /** Decimals of one whole token. */
  decimals: number;
  /** In whole tokens; less than 0 where it left the wallet. */
  amount: number;
  /** In smallest units, an integer with all its digits. */
  amount_raw: string;
  /** As its maker chose it: show it as text. Missing where it isn't known. */
  symbol?: string;
  /** Address that it came from or went to; missing where the transaction doesn't show exactly
   * one. */
  counterparty?: string;
  /** Name of the program that keeps it, or why it is unexplained; missing for others. */
  place?: string;
}

/** One trade, in the order of the chain and final: its P&L is known. */
export interface Trade {
  /** The transaction's signature. It and `part` together name a trade. */
  signature: string;
  /** Which trade of its transaction this is, from 0. Part 0 has all its fees. */
  part?: number;
  /** How many trades the transaction has for this wallet. */
  parts?: number;
  /** The slot of the transaction. */
  slot: number;
  /** Its place in the block; null where the upstream doesn't say. */
  block_index?: number | null;
  /** Unix seconds of the block. */
  timestamp: number;
  /** `buy` and `sell` are of a token for SOL or a stable coin; `swap` is of a token for another;
   * a `burn` destroys one and gets 0 SOL. */
  action: "buy" | "sell" | "swap" | "burn";
  /** What the wallet gave. */
  token_in: Token;
  /** What the wallet got. */
  token_out: Token;
  /** The mint that the trade is about: what a sell gave, else what was got. */
  token?: string;
  /** US dollars for one `token`. */
  price_usd: number | null;
  /** The same in SOL. */
  price_sol?: number | null;
  /** US dollars of the whole trade; null when no price is known. */
  value_usd: number | null;
  /** The same in SOL. */
  value_sol: number | null;
  /** Network fee, tips and platform fees together. */
  fee_sol: number;
  /** Base and priority fee, where the wallet paid them. */
  network_fee_sol?: number;
  /** How much of that the wallet offered to be served sooner. */
  priority_fee_sol?: number;
  /** What the transaction itself paid for being included in a block. */
  tip_sol?: number;
  /** What bots, front ends and venues took out of the wallet's SOL. */
  platform_fee_sol?: number;
  /** Realized profit or loss; null for a buy, and where no cost is known. */
  pnl_usd: number | null;
  /** The same in SOL. */
  pnl_sol: number | null;
  /** How the cost of what is sold is found. */
  cost_basis: "fifo" | "average";
  /** Sold without a known purchase; in no P&L. */
  unmatched_amount: number;
  /** What is left of `token` after this trade. */
  position_amount: number;
  /** Whether a value in US dollars is known. */
  priced: boolean;
  /** Where it was traded, `unknown` if no known program took part. */
  dex: string;
  /** `low`: no known program took part, or the amounts aren't exact. */
  confidence: "high" | "low";
  /** How settled the transaction was when it was read. */
  commitment: string;
  /** Unix milliseconds when the trade was stored: the way from there can be measured. */
  emitted_at: number;
  /** Counts trades and retractions from 1 without holes: one that is missing tells of a loss.
   * Missing in previews and in entries of older servers. */
  number?: number;
  /** Id of this trade's first version, in whose place it stands; missing where it was never
   * corrected. */
  replaces?: string;
  /** What the transaction moved beside the legs and fees of its trades, on part 0; missing where
   * that is nothing. */
  postings?: PostedAmount[];
}

/** Up to 25 of the newest trades, without P&L, while a long history is still being listed. It
 * may come twice, the second time with names and prices. */
export interface Preview {
  /** Newest last. */
  trades: Trade[];
  /** Unix seconds when this was sent. */
  timestamp: number;
}

/** How much of the history has been read; at most four a second. */
export interface Progress {
  /** A sentence for people. */
  message: string;
  /** 0 to 100; never goes back. */
  percentage: number;
  /** What is being done. */
  step: Step;
  /** Transactions listed so far. */
  signatures_found: number;
  /** Transactions read so far. */
  transactions_done: number;
  /** Trades among them. */
  trades_found: number;
  /** Unix seconds when this was sent. */
  timestamp: number;
}

/** A batch of trades, where `batch` was asked for. Its id is the last one's. */
export interface Trades {
  /** Oldest first. */
  trades: Trade[];
  /** Counts from 1 on each connection. */
  batch_num: number;
  /** Trades sent on this connection so far. */
  total_yielded: number;
  /** Whether more is stored that comes at once. */
  has_more: boolean;
  /** Unix seconds when this was sent. */
  timestamp: number;
}

/** The wallet's totals after new trades, for who follows; at most one a second. */
export interface Summary {
  /** How the cost of what is sold is found. */
  cost_basis: "fifo" | "average";
  /** All trades. */
  trades: number;
  /** Of these, buys. */
  buys: number;
  /** Of these, sells. */
  sells: number;
  /** Of these, swaps. */
  swaps: number;
  /** Trades with a value in US dollars. */
  priced_trades: number;
  /** Trades without one. */
  unpriced_trades: number;
  /** Value of the trades that have one in SOL. */
  volume_sol: number;
  /** Value of the trades that have one in US dollars. */
  volume_usd: number | null;
  /** Realized profit or loss before fees. */
  realized_pnl_sol: number;
  /** The same in US dollars. */
  realized_pnl_usd: number | null;
  /** All fees. */
  fees_sol: number;
  /** Realized profit or loss after fees. */
  net_pnl_sol: number;
  /** Proceeds of what was sold without a known purchase; in no P&L. */
  unmatched_sol: number;
  /** The same in US dollars. */
  unmatched_usd: number | null;
  /** Cost of what left by transfer; in no P&L. */
  transferred_cost_sol: number;
  /** Tokens with a trade. */
  tokens_traded: number;
  /** Tokens with a sale in SOL whose cost is known. */
  tokens_sold: number;
  /** Of these, those whose sales together made a profit. */
  tokens_won: number;
  /** `tokens_won` over `tokens_sold`, 0 to 1; null without a sale. */
  win_rate: number | null;
  /** Tokens that are still held. */
  open_positions: number;
  /** Unix seconds; null without a trade. */
  first_trade_at: number | null;
  /** Unix seconds; null without a trade. */
  last_trade_at: number | null;
}

export interface SyncMetrics {
  /** Transactions listed. */
  signatures_found: number;
  /** Transactions read. */
  transactions: number;
  /** Those that failed on the chain; they are no trades. */
  failed_transactions: number;
  /** Trades without a value in US dollars. */
  unpriced_trades: number;
  /** Transactions without a trade that moved something or failed. */
  movements: number;
  /** Transactions with a posting that nothing explains. */
  unexplained_transactions: number;
  /** The SOL of these postings, counted without its sign. */
  unexplained_sol: number;
  /** How many of these transactions there are, by reason. One may have several. */
  unexplained_reasons: Record<string, number>;
}

/** The whole history was sent. A stream that doesn't follow ends here. */
export interface Complete {
  /** Always `complete`. */
  status: "complete";
  /** Trades in the whole history. */
  trades_found: number;
  /** Seconds that reading the wallet took. */
  duration: number;
  /** The wallet's totals. */
  summary: Summary;
  /** What was read from the chain. */
  metrics: SyncMetrics;
  /** Whether older transactions than the server reads were left out. */
  truncated: boolean;
  /** Unix seconds when this was sent. */
  timestamp: number;
  /** `trade` and `retract` entries before this one. */
  entries?: number;
  /** The end of a hash chain over exactly these, in hex, to prove that none is missing or
   * altered. */
  digest?: string;
  /** `trade`, `retract` and `movement` entries before this one. */
  entries_all?: number;
  /** The end of a hash chain over exactly these. */
  digest_all?: string;
}

/** A trade left the chain with a fork, or comes again with other numbers: take it back. */
export interface Retract {
  /** The trade's signature. */
  signature: string;
  /** Counts trades and retractions from 1 without holes. */
  number?: number;
}

/** What a transaction without a trade moved: a transfer, custody, a claim, a round trip; or that
 * it failed. A later one with the same `signature` stands in its place. */
export interface Movement {
  /** The transaction's signature. */
  signature: string;
  /** The slot of the transaction. */
  slot: number;
  /** Its place in the block; null where the upstream doesn't say. */
  block_index: number | null;
  /** Unix seconds of the block. */
  timestamp: number;
  /** Why it is no trade, in a word; more may be added. `retracted` takes back what an earlier
   * movement told of this transaction. */
  reason: string;
  /** All that it moved. For each asset they add up to the wallet's change. */
  postings: PostedAmount[];
  /** How settled the transaction was when it was read. */
  commitment: string;
  /** Unix milliseconds when this was stored. */
  emitted_at: number;
  /** Id of the `complete` that still holds; missing where the next is yet to come. */
  complete?: string;
}

/** Nothing else was sent for `heartbeat_seconds`. */
export interface Heartbeat {
  /** Unix seconds when this was sent. */
  timestamp: number;
}

/** What you hold can't be continued: discard it, the whole history follows. */
export interface Gap {
  /** `unknown_id`: it is none of this wallet's; `expired`: it is no longer stored; `reset`: the
   * history began anew. */
  reason: GapReason;
  /** The id you sent; empty if it can't be read. */
  from: string;
  /** The newest id there is; null if there is none. */
  to: string | null;
}

export interface ErrorDetails {
  /** Seconds; missing where coming back is of no use. */
  retry_after?: number;
}

/** Something went wrong; the stream ends. With `retry_after` it is worth coming back. */
export interface ErrorData {
  /** A sentence for people. */
  error: string;
  /** For programs; the list of errors says what to do. */
  code: string;
  /** What else is known. */
  details: ErrorDetails;
  /** Unix seconds when this was sent. */
  timestamp: number;
}

/** You are sent away; the stream ends. A `retry:` line says when to come back. */
export interface Bye {
  /** Why. After `revoked` and `closed_by_owner` coming back is of no use. */
  reason: string;
  /** When to come back, spread so that clients don't come together. */
  reconnect_after_ms: number;
}

/** Data by the name of the event. `wallet` names one of several. */
export interface DataByKind {
  connected: Connected;
  preview: Preview & { wallet?: string };
  progress: Progress & { wallet?: string };
  trade: Trade & { wallet?: string };
  trades: Trades & { wallet?: string };
  summary: Summary & { wallet?: string };
  complete: Complete & { wallet?: string };
  retract: Retract & { wallet?: string };
  movement: Movement & { wallet?: string };
  heartbeat: Heartbeat;
  gap: Gap & { wallet?: string };
  error: ErrorData & { wallet?: string };
  bye: Bye;
}

/** Entries that have a `number`, and that the digest of a `complete` proves. */
export const COUNTED: ReadonlySet<string> = new Set(["trade", "retract"]);
/** Entries that its `digest_all` proves. */
export const CHAINED: ReadonlySet<string> = new Set(["trade", "retract", "movement"]);
