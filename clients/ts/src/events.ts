/** The events of a stream. Times are unix seconds unless the name says otherwise. Amounts are
 * numbers as JSON has them; `amount_raw` has all digits. A field that not every server sends is
 * optional, and one that a server leaves out all the same is undefined: it ends no stream. */

import type { Bookmark } from "./chain.js";
import type { StreamError } from "./errors.js";
import type { DataByKind, GapReason } from "./kinds.js";

export type { Step, Summary, Token, Trade } from "./kinds.js";

/** Data by the name of the event. `wallet` names one of several. */
export interface EventData extends Omit<DataByKind, "error" | "gap"> {
  /** Discard what you hold (of `wallet`, where it is named): the whole history follows. `mismatch` is
   * made by this client: what came was not what the server proves. */
  gap: Omit<DataByKind["gap"], "reason"> & { reason: GapReason | "mismatch" };
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
export type ErrorData = DataByKind["error"];
