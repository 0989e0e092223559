import { Backoff } from "./backoff.js";
import { BadAnswer, NotAllowed, type Refused, SentAway, StreamError, Unreachable, refused } from "./errors.js";
import type { ErrorData, StreamEvent } from "./events.js";
import { type Frame, FrameReader } from "./frames.js";
import { Position } from "./position.js";

/** Heartbeats that may be missed before a connection counts as dead, and the seconds before the
 * server has said how far apart they are: it may be 20 at most. */
const MISSED_HEARTBEATS = 3;
const SILENCE_SECONDS = 60;
/** Seconds until an answer's head has to be there. */
const ANSWER_SECONDS = 30;

export interface StreamOptions {
  /** An API key or a token, or what gets one for each connection, as tokens soon end. */
  key?: string | (() => string | Promise<string>);
  /** Stay for new trades instead of ending with `complete`. */
  follow?: boolean;
  /** `trades` events of up to so many, 1 to 500. */
  batch?: number;
  mint?: string;
  side?: "buy" | "sell" | "swap";
  minUsd?: number;
  /** Unix seconds. */
  since?: number;
  skipPricing?: boolean;
  /** Go on after this event. */
  lastEventId?: string;
  /** Seconds without a stream after which it is given up; 60. `Infinity`: never. */
  patience?: number;
  /** Ends the stream. */
  signal?: AbortSignal;
}

/** The events of a wallet, or of several, of the server at `url`: each that has an id once and in
 * order, over as many connections as it takes. It ends after `complete`, unless it is to follow.
 *
 * Throws TypeError for a URL that is none; NotAllowed, Refused and BadAnswer at once; and the cause
 * of being away (Unreachable, Refused, SentAway) when it would last longer than `patience`. */
export async function* stream(
  url: string,
  wallet: string | readonly string[],
  options: StreamOptions = {},
): AsyncGenerator<StreamEvent, void, undefined> {
  const target = targetOf(url, wallet, options);
  const awaited = options.follow ? Infinity : typeof wallet === "string" ? 1 : new Set(wallet).size;
  const visit = new Visit(options, awaited);
  while (!options.signal?.aborted) {
    let cause: StreamError;
    const connection = new Connection(options.signal);
    try {
      const answer = await connection.open(target, await visit.headers());
      if (answer === null) return;
      for await (const frame of connection.frames(answer, () => visit.silence)) {
        const event = visit.take(frame);
        if (event === null) continue;
        yield event;
        if (event.event === "bye") {
          throw new SentAway(event.data.reason, event.data.reconnect_after_ms / 1000);
        }
        if (visit.isOver) return;
      }
      throw new Unreachable("The connection ended.");
    } catch (error) {
      if (options.signal?.aborted) return;
      if (!(error instanceof StreamError)) throw error;
      cause = error;
    } finally {
      connection.close();
    }
    const seconds = visit.wait(cause);
    if (seconds === null) throw cause;
    yield { event: "away", id: null, data: { seconds, cause } };
    await sleep(seconds, options.signal);
  }
}

/** What a client knows over all its connections. */
class Visit {
  silence = SILENCE_SECONDS;
  readonly #position: Position;
  readonly #backoff: Backoff;
  readonly #completed = new Set<string>();

  constructor(
    readonly options: StreamOptions,
    readonly awaited: number,
  ) {
    this.#position = new Position(options.lastEventId ?? null);
    this.#backoff = new Backoff(options.patience ?? 60, Math.random);
  }

  get isOver(): boolean {
    return this.#completed.size >= this.awaited;
  }

  async headers(): Promise<Record<string, string>> {
    const { key } = this.options;
    const secret = typeof key === "function" ? await key() : key;
    const headers: Record<string, string> = { Accept: "text/event-stream" };
    if (secret !== undefined) headers["Authorization"] = `Bearer ${secret}`;
    const { lastEventId } = this.#position;
    if (lastEventId !== null) headers["Last-Event-ID"] = lastEventId;
    return headers;
  }

  /** The event, if it is one for the caller. Throws Refused, BadAnswer. */
  take(frame: Frame): StreamEvent | null {
    if (frame.retry !== null) this.#backoff.told(frame.retry / 1000);
    if (frame.data === null) return null;
    const data = parsed(frame.name, frame.data);
    if (frame.name === "error") throw said(data as unknown as ErrorData);
    if (frame.id !== null) {
      this.#backoff.succeeded();
      if (!this.#position.take(frame.id)) return null;
    }
    // Names that this client doesn't know yet pass through as they are.
    const event = { event: frame.name, id: frame.id, data } as unknown as StreamEvent;
    if (event.event === "connected") {
      this.#backoff.connected(seconds());
      this.silence = MISSED_HEARTBEATS * event.data.heartbeat_seconds || SILENCE_SECONDS;
    } else if (event.event === "gap") {
      this.#completed.delete(event.data.wallet ?? "");
      if (event.data.wallet === undefined) this.#position.forget();
    } else if (event.event === "complete") {
      this.#completed.add(event.data.wallet ?? "");
    }
    return event;
  }

  /** Seconds until the next attempt, null: there is none. */
  wait(cause: StreamError): number | null {
    if (!cause.passing) return null;
    if (cause.retryAfter !== null) this.#backoff.told(cause.retryAfter);
    return this.#backoff.wait(seconds());
  }
}

/** One request and its answer. Whatever it waits for has a deadline. */
class Connection {
  readonly #controller = new AbortController();
  readonly #signal: AbortSignal | undefined;
  readonly #abort = (): void => this.#controller.abort();

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
    signal?.addEventListener("abort", this.#abort);
  }

  close(): void {
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#controller.abort();
  }

  /** null for 204: there is nothing more. Throws Unreachable, BadAnswer, Refused. */
  async open(url: string, headers: Record<string, string>): Promise<Response | null> {
    const { signal } = this.#controller;
    // Made here, so that a key with characters that can't be sent is the caller's TypeError.
    const init: RequestInit = { headers: new Headers(headers), cache: "no-store", signal };
    const answer = await this.#within(ANSWER_SECONDS, () => fetch(url, init));
    if (answer.status === 204) return null;
    if (answer.status !== 200) {
      const text = await this.#within(ANSWER_SECONDS, () => answer.text());
      throw explained(refusal(answer, text), url, answer, "Authorization" in headers);
    }
    if (!answer.headers.get("Content-Type")?.startsWith("text/event-stream")) {
      throw new BadAnswer("The answer is no event stream: is this the URL of a wd-server?");
    }
    return answer;
  }

  /** Throws Unreachable, BadAnswer. */
  async *frames(answer: Response, silence: () => number): AsyncGenerator<Frame, void, undefined> {
    const body = answer.body?.getReader();
    if (body === undefined) return;
    const decoder = new TextDecoder();
    const reader = new FrameReader();
    for (;;) {
      const { value, done } = await this.#within(silence(), () => body.read());
      if (done) return;
      try {
        yield* reader.feed(decoder.decode(value, { stream: true }));
      } catch (error) {
        throw error instanceof RangeError ? new BadAnswer(error.message) : error;
      }
    }
  }

  async #within<Result>(limit: number, work: () => Promise<Result>): Promise<Result> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#controller.abort();
    }, limit * 1000);
    try {
      return await work();
    } catch (error) {
      if (late) throw new Unreachable(`The server was silent for ${limit} seconds.`);
      throw new Unreachable(`The server can't be reached (${reason(error)}).`);
    } finally {
      clearTimeout(timer);
    }
  }
}

function targetOf(
  url: string,
  wallet: string | readonly string[],
  options: StreamOptions,
): string {
  const target = new URL(url);
  if (!/^https?:$/.test(target.protocol) || target.search || target.username || target.hash) {
    throw new TypeError(`${url} is not the http or https URL of a server`);
  }
  const base = target.href.replace(/\/+$/, "");
  const query = new URLSearchParams();
  if (typeof wallet !== "string") for (const each of wallet) query.append("wallet", each);
  const wishes = {
    follow: options.follow || undefined,
    batch: options.batch,
    mint: options.mint,
    side: options.side,
    min_usd: options.minUsd,
    since: options.since,
    skip_pricing: options.skipPricing || undefined,
  };
  for (const [name, value] of Object.entries(wishes)) {
    if (value !== undefined) query.append(name, String(value));
  }
  const path =
    typeof wallet === "string" ? `/v4/wallet/${encodeURIComponent(wallet)}/stream` : "/v4/stream";
  const text = query.toString();
  return text ? `${base}${path}?${text}` : base + path;
}

function parsed(name: string, text: string): Record<string, unknown> {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    data = null;
  }
  if (typeof data !== "object" || data === null || Array.isArray(data)) {
    throw new BadAnswer(`An event '${name}' can't be read.`);
  }
  return data as Record<string, unknown>;
}

function said(data: ErrorData): Refused {
  const { error, code, details, wallet } = data;
  return refused(error, code, 200, details?.retry_after ?? null, wallet ?? null);
}

function refusal(answer: Response, text: string): Refused {
  let problem: { code?: unknown; detail?: unknown } = {};
  try {
    problem = (JSON.parse(text) as typeof problem | null) ?? {};
  } catch {
    // A proxy's page: its status says enough.
  }
  const { code, detail } = problem;
  const told = answer.headers.get("Retry-After") ?? "";
  return refused(
    typeof detail === "string" ? detail : `The server answered with status ${answer.status}.`,
    typeof code === "string" ? code : `HTTP_${answer.status}`,
    answer.status,
    /^[0-9]+$/.test(told) ? Number(told) : null,
  );
}

/** `fetch` takes no key along to another origin, which refuses then what has one. */
function explained(refusal: Refused, url: string, answer: Response, hadKey: boolean): Refused {
  const [asked, end] = [new URL(url).origin, new URL(answer.url).origin];
  if (!hadKey || asked === end || !(refusal instanceof NotAllowed)) return refusal;
  return new NotAllowed(
    `${refusal.message} It wasn't shown the key: that was for ${asked}, which redirects to ${end}.` +
      " If you trust that one, name it as the URL.",
    refusal.code,
    refusal.status,
  );
}

function reason(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}

function seconds(): number {
  return performance.now() / 1000;
}

function sleep(duration: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, duration * 1000);
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  });
}
