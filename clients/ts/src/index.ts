export type { Bookmark } from "./chain.js";
export { BadAnswer, Mismatch, NotAllowed, Refused, SentAway, StreamError, Unreachable } from "./errors.js";
export type { EventData, Step, StreamEvent, Summary, Token, Trade } from "./events.js";
export { type StreamOptions, stream } from "./stream.js";
export { TradeList } from "./trade_list.js";
