/** Seconds to wait where the server named none; attempts that fail double them, up to the last. */
const FIRST_SECONDS = 1;
const LAST_SECONDS = 30;
/** Of each wait, so much more at most is added by chance: clients that left together don't come back
 * together. */
const JITTER = 0.25;
/** Seconds after which a connection counts as one that stood, though nothing came that was stored. */
const STEADY_SECONDS = 30;

/** Seconds that a server may ask for at most. The longest it means is half an hour; what is more is a
 * mistake, and a timer that is set for more than 24 days fires at once. */
const LONGEST_SECONDS = 86_400;

/** When to come back, and when to give up. `patience`: seconds without a stream after which it is
 * given up. A stream is one that brings something stored or stands for a while. Times are seconds
 * that no one sets back. */
export class Backoff {
  #failures = 0;
  #told: number | null = null;
  #since: number | null = null;
  #connectedAt: number | null = null;

  constructor(
    readonly patience: number,
    readonly chance: () => number,
  ) {}

  connected(now: number): void {
    this.#connectedAt = now;
  }

  /** The server says when to come back the next time. */
  told(seconds: number): void {
    if (seconds >= 0) this.#told = Math.min(seconds, LONGEST_SECONDS); // and so not what is no number
  }

  /** Something stored came. */
  succeeded(): void {
    this.#failures = 0;
    this.#since = null;
  }

  /** Seconds until the next attempt; null: it would be too late. */
  wait(now: number): number | null {
    if (this.#connectedAt !== null && now - this.#connectedAt >= STEADY_SECONDS) this.succeeded();
    this.#connectedAt = null;
    this.#since ??= now;
    const least = Math.min(FIRST_SECONDS * 2 ** this.#failures, LAST_SECONDS);
    const seconds = (this.#told ?? least) * (1 + JITTER * this.chance());
    this.#failures = Math.min(this.#failures + 1, 10);
    this.#told = null;
    return now + seconds - this.#since > this.patience ? null : seconds;
  }
}
