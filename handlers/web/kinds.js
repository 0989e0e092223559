// The kinds of events, and words that stand in them.
// Written from the server's table of events by `make docs`: don't edit it.

/** @typedef {"connected" | "preview" | "progress" | "trade" | "trades" | "summary" | "complete"
 * | "retract" | "movement" | "heartbeat" | "gap" | "error" | "bye"} Kind */
/** @typedef {"initializing" | "fetching_signatures" | "fetching_transactions" |
 * "processing_trades" | "calculating_pnl" | "complete"} Step */
/** @typedef {"unknown_id" | "expired" | "reset"} GapReason */
/** @typedef {"shutdown" | "lifetime" | "token_expired" | "revoked" | "slow" | "closed_by_owner"}
 * ByeReason */
/** @typedef {"AT_CAPACITY" | "AUTH_REQUIRED" | "DRAINING" | "FORBIDDEN_WALLET" |
 * "INTERNAL_ERROR" | "INVALID_KEY" | "INVALID_PARAMETER" | "INVALID_WALLET" | "RATE_LIMIT" |
 * "STORE_UNAVAILABLE" | "TOKEN_EXPIRED" | "TOO_MANY_STREAMS" | "UNKNOWN_WALLET" |
 * "UPSTREAM_QUOTA" | "UPSTREAM_RATE_LIMIT" | "UPSTREAM_REJECTED" | "UPSTREAM_UNAVAILABLE"} Code */

/** Whether events of a kind have an id, which moves the position.
 * @type {Record<Kind, boolean>} */
export const HAS_ID = {
  connected: false,
  preview: false,
  progress: false,
  trade: true,
  trades: true,
  summary: false,
  complete: true,
  retract: true,
  movement: true,
  heartbeat: false,
  gap: false,
  error: false,
  bye: false,
};
