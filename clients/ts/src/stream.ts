import { Backoff } from "./backoff.js";
import { type Bookmark, Chain } from "./chain.js";
import {
  BadAnswer,
  Mismatch,
  NotAllowed,
  type Refused,
  SentAway,
  StreamError,
  Unreachable,
  refused,
} from "./errors.js";
import type { ErrorData, StreamEvent } from "./events.js";
import { type Frame, FrameReader } from "./frames.js";
import { CHAINED, COUNTED } from "./kinds.js";
import { Position } from "./position.js";

/** Heartbeats that may be missed before a connection counts as dead. They are 20 seconds apart at
 * most, so this is the longest silence, too, and the one before the server has said how far apart. */
const MISSED_HEARTBEATS = 3;
const SILENCE_SECONDS = 60;
/** Seconds until an answer's head has to be there. */
const ANSWER_SECONDS = 30;

export interface StreamOptions {
  /** An API key or a token, or what gets one for each connection, as tokens soon end. */
  key?: string | (() => string | Promise<string>);
  /** Stay for new trades instead of ending with `complete`. */
  follow?: boolean;
  /** `movement` events, too: what transactions without a trade moved. Some may still come behind
   * `complete`. */
  movements?: boolean;
  /** `trades` events of up to so many, 1 to 500. */
  batch?: number;
  mint?: string;
  side?: "buy" | "sell" | "swap";
  minUsd?: number;
  /** Unix seconds. */
  since?: number;
  skipPricing?: boolean;
  /** Go on after this event, and prove the whole with what was kept of it. */
  bookmark?: Bookmark;
  /** Go on after this event; the rest can't be proved then. */
  lastEventId?: string;
  /** Seconds without a stream after which it is given up; 60. `Infinity`: never. */
  patience?: number;
  /** Ends the stream. */
  signal?: AbortSignal;
}

/** The events of a wallet, or of several, of the server at `url`: each that has an id once and in
 * order, over as many connections as it takes. It ends after `complete`, unless it is to follow.
 *
 * One wallet's stream without filters, `batch` or `skipPricing` is compared with the digest that the
 * server sends with each `complete` (`verified`). Where they differ, a `gap` is yielded and the
 * history is read once more; if it differs again, Mismatch is thrown.
 *
 * Throws TypeError for a URL or a bookmark that is none; NotAllowed, Refused and BadAnswer at once;
 * and the cause of being away (Unreachable, Refused, SentAway) when it would last longer than `patience`. */
export async function* stream(
  url: string,
  wallet: string | readonly string[],
  options: StreamOptions = {},
): AsyncGenerator<StreamEvent, void, undefined> {
  const target = targetOf(url, wallet, options);
  const awaited = options.follow ? Infinity : typeof wallet === "string" ? 1 : new Set(wallet).size;
  const visit = new Visit(options, awaited, isWhole(wallet, options));
  while (!options.signal?.aborted) {
    let cause: StreamError;
    const connection = new Connection(options.signal);
    try {
      const answer = await connection.open(target, await visit.headers());
      if (answer === null) return;
      visit.began();
      for await (const frame of connection.frames(answer, () => visit.silence)) {
        const event = visit.take(frame);
        if (event === null) continue;
        yield event;
        if (event.event === "bye") {
          const { reason, reconnect_after_ms: after } = event.data;
          throw new SentAway(reason, typeof after === "number" ? after / 1000 : null);
        }
        if (visit.isComplete && !options.movements) return;
      }
      if (visit.isComplete) return;
      throw new Unreachable("The server ended the stream before it was complete.");
    } catch (error) {
      if (options.signal?.aborted) return;
      if (!(error instanceof StreamError)) throw error;
      cause = error;
    } finally {
      connection.close();
    }
    if (cause instanceof Mismatch) yield visit.distrust(cause);
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
  #chain: Chain | null;
  /** The chain with movements. */
  #all: Chain | null;
  #mismatched = false;

  /** `whole`: every entry is sent as it is stored, and so can be proved. */
  constructor(
    readonly options: StreamOptions,
    readonly awaited: number,
    readonly whole: boolean,
  ) {
    const { bookmark, lastEventId } = options;
    this.#position = new Position(bookmark?.id ?? lastEventId ?? null);
    this.#backoff = new Backoff(options.patience ?? 60, Math.random);
    this.#chain = whole ? new Chain(bookmark ?? UNKNOWN) : null;
    this.#all = whole && options.movements ? new Chain(allOf(bookmark)) : null;
  }

  get isComplete(): boolean {
    return this.#completed.size >= this.awaited;
  }

  async headers(): Promise<Record<string, string>> {
    const { key } = this.options;
    const secret = typeof key === "function" ? await key() : key;
    const headers: Record<string, string> = { Accept: "text/event-stream" };
    if (secret !== undefined) headers["Authorization"] = `Bearer ${secret}`;
    const { lastEventId } = this.#position;
    if (lastEventId !== null) headers["Last-Event-ID"] = asBytes(lastEventId);
    return headers;
  }

  /** A connection was answered. */
  began(): void {
    if (this.#position.lastEventId === null) this.#begin();
  }

  /** The event, if it is one for the caller. Throws Refused, BadAnswer, Mismatch. */
  take(frame: Frame): StreamEvent | null {
    if (frame.retry !== null) this.#backoff.told(frame.retry / 1000);
    if (!this.#move(frame.id) || frame.data === null) return null;
    const data = parsed(frame.name, frame.data);
    if (frame.name === "error") throw said(data as Partial<ErrorData>);
    const verified = this.#prove(frame.name, frame.id, frame.data, data);
    // Names that this client doesn't know yet pass through as they are.
    const event = { event: frame.name, id: frame.id || null, data } as unknown as StreamEvent;
    if (frame.id) event.bookmark = this.#bookmark(frame.id);
    if (event.event === "connected") {
      this.#backoff.connected(seconds());
      this.silence = longestSilence(event.data.heartbeat_seconds);
    } else if (event.event === "gap") {
      this.#completed.delete(event.data.wallet ?? "");
      if (event.data.wallet === undefined) this.#begin();
    } else if (event.event === "complete") {
      this.#completed.add(event.data.wallet ?? "");
      event.verified = verified;
    }
    return event;
  }

  /** What came can't be relied on: it is read anew. Throws it when that was done before. */
  distrust(mismatch: Mismatch): StreamEvent {
    if (this.#mismatched) {
      mismatch.passing = false;
      throw mismatch;
    }
    this.#mismatched = true;
    const from = this.#position.lastEventId ?? "";
    this.#begin();
    return { event: "gap", id: null, data: { reason: "mismatch", from, to: null } };
  }

  /** Whether the event is new, by its id. One without an id moves nothing, and an empty id forgets
   * the position. */
  #move(id: string | null): boolean {
    if (id === null) return true;
    if (id === "") {
      this.#position.forget();
      return true;
    }
    this.#backoff.succeeded();
    return this.#position.take(id);
  }

  /** Whether this is a `complete` and everything before it has come. Throws Mismatch. */
  #prove(name: string, id: string | null, payload: string, data: Record<string, unknown>): boolean {
    if (this.#chain === null) return false;
    if (COUNTED.has(name) && id) this.#chain.add(id, payload, data["number"]);
    if (CHAINED.has(name) && id) this.#all?.add(id, payload, undefined);
    if (name !== "complete") return false;
    const provedAll = this.#all?.proves(data["entries_all"], data["digest_all"]) ?? true;
    const proved = this.#chain.proves(data["entries"], data["digest"]) && provedAll;
    if (proved) this.#mismatched = false;
    return proved;
  }

  #bookmark(id: string): Bookmark {
    const { entries, digest } = this.#chain ?? UNKNOWN;
    if (this.#all === null) return { id, entries, digest };
    const { entries: entries_all, digest: digest_all } = this.#all;
    return { id, entries, digest, entries_all, digest_all };
  }

  /** The whole history follows. */
  #begin(): void {
    this.#position.forget();
    if (this.whole) this.#chain = new Chain();
    if (this.#all !== null) this.#all = new Chain();
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
    const [mediaType = ""] = (answer.headers.get("Content-Type") ?? "").split(";");
    if (mediaType.trim().toLowerCase() !== "text/event-stream") {
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
      // A stream that is cut, in chunks or compressed, is an error here and no end.
      const { value, done } = await this.#within(silence(), () => body.read(), "broke off");
      if (done) return;
      try {
        yield* reader.feed(decoder.decode(value, { stream: true }));
      } catch (error) {
        throw error instanceof RangeError ? new BadAnswer(error.message) : error;
      }
    }
  }

  async #within<Result>(
    limit: number,
    work: () => Promise<Result>,
    what = "can't be reached",
  ): Promise<Result> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#controller.abort();
    }, limit * 1000);
    try {
      return await work();
    } catch (error) {
      if (late) throw new Unreachable(`The server was silent for ${limit} seconds.`);
      throw new Unreachable(`The server ${what} (${reason(error)}).`);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Of a stream that began in the middle. */
const UNKNOWN = { entries: null, digest: null };

/** Whether every entry comes, and as it is stored. */
/** What a bookmark says of the chain with movements. */
function allOf(bookmark: Bookmark | undefined): Pick<Bookmark, "entries" | "digest"> {
  return { entries: bookmark?.entries_all ?? null, digest: bookmark?.digest_all ?? null };
}

function isWhole(wallet: string | readonly string[], options: StreamOptions): boolean {
  const { batch, mint, side, minUsd, since, skipPricing } = options;
  const wishes = [batch, mint, side, minUsd, since, skipPricing || undefined];
  return typeof wallet === "string" && wishes.every((wish) => wish === undefined);
}

/** Seconds without a byte after which a connection counts as dead. */
function longestSilence(heartbeatSeconds: unknown): number {
  if (typeof heartbeatSeconds !== "number" || !(heartbeatSeconds > 0)) return SILENCE_SECONDS;
  return Math.min(MISSED_HEARTBEATS * heartbeatSeconds, SILENCE_SECONDS);
}

/** A header's value is bytes: the standard sends an id as UTF-8. */
function asBytes(id: string): string {
  return Array.from(new TextEncoder().encode(id), (byte) => String.fromCharCode(byte)).join("");
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
    include: options.movements ? "movements" : undefined,
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

function said({ error, code, details, wallet }: Partial<ErrorData>): Refused {
  const sentence = error ?? "The server ended the stream without a reason.";
  return refused(sentence, code ?? "UNKNOWN", 200, details?.retry_after ?? null, wallet ?? null);
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
