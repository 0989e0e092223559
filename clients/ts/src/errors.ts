import type { Code } from "./kinds.js";

/** What can go wrong with a stream, by what to do about it. */
export class StreamError extends Error {
  /** Another try may succeed, and the client makes it by itself. */
  readonly passing: boolean = false;
  /** Seconds; null where coming back is of no use or nobody said when. */
  readonly retryAfter: number | null = null;

  override get name(): string {
    return this.constructor.name;
  }
}

/** No server, no answer, or a connection that broke or fell silent. */
export class Unreachable extends StreamError {
  override readonly passing = true;
}

/** Something answers, and it is no wd-server: the URL is wrong, or a proxy is in the way. */
export class BadAnswer extends StreamError {}

/** The history that came isn't the one that the server proves. The client yields a `gap` and reads it
 * once more from the beginning; when that doesn't match either, this is thrown. */
export class Mismatch extends StreamError {
  override passing = true;

  constructor(difference: string) {
    super(
      `The history that came is not the one that the server proves: ${difference}. Something` +
        " between the server and this client loses or alters events: discard what came, and read it" +
        " anew by another way.",
    );
  }
}

/** The server says why. */
export class Refused extends StreamError {
  override readonly passing: boolean;
  override readonly retryAfter: number | null;

  constructor(
    message: string,
    /** As the contract lists them, such as `TOO_MANY_STREAMS`. */
    readonly code: string,
    /** 200 if it was said within the stream. */
    readonly status: number,
    retryAfter: number | null = null,
    /** Where it is about one of several. */
    readonly wallet: string | null = null,
  ) {
    super(message);
    this.retryAfter = retryAfter;
    this.passing = PASSING_STATUSES.has(status) || retryAfter !== null;
  }
}

/** No key, a wrong or expired one, or one that isn't for this wallet. */
export class NotAllowed extends Refused {}

/** A `bye`. After `revoked` and `closed_by_owner` its time is so late that most give up. */
export class SentAway extends StreamError {
  override readonly passing = true;
  override readonly retryAfter: number | null;

  constructor(
    readonly reason: string,
    retryAfter: number | null,
  ) {
    super(`The server ended the stream: ${reason}.`);
    this.retryAfter = retryAfter;
  }
}

/** Another try may be answered otherwise: too many requests, and what proxies and full or draining
 * servers say. */
const PASSING_STATUSES: ReadonlySet<number> = new Set([429, 500, 502, 503, 504]);

const NOT_ALLOWED: ReadonlySet<string> = new Set<Code>([
  "AUTH_REQUIRED",
  "INVALID_KEY",
  "TOKEN_EXPIRED",
  "FORBIDDEN_WALLET",
]);

/** The kind of refusal that fits the code. */
export function refused(
  message: string,
  code: string,
  status: number,
  retryAfter: number | null,
  wallet: string | null = null,
): Refused {
  const Kind = NOT_ALLOWED.has(code) ? NotAllowed : Refused;
  return new Kind(message, code, status, retryAfter, wallet);
}
