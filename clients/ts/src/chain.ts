/** The hash chain over a wallet's trades and retracts, by which a client proves that it has all of
 * them, unaltered and in order: `d(n) = SHA-256(d(n-1) + id + LF + payload)`, from 32 zero bytes.
 * Each `complete` says how many came before it and what the chain's end is. */

import { Mismatch } from "./errors.js";
import { sha256 } from "./sha256.js";

/** Where a client is, to be kept and handed in by another process. */
export interface Bookmark {
  /** Of the last event that had one. */
  id: string;
  /** How many trades and retracts came up to there; null where that isn't known. */
  entries: number | null;
  /** The end of the chain over them, in hex; null where the beginning of the stream wasn't seen. */
  digest: string | null;
  /** The same with movements, of a stream that reads them. */
  entries_all?: number | null;
  digest_all?: string | null;
}

const BEGINNING = "00".repeat(32);
const utf8 = new TextEncoder();

export class Chain {
  /** Null where they aren't known: a stream that began in the middle learns the first from its first
   * entry's `number`, and never the second. */
  entries: number | null;
  digest: string | null;

  constructor(at: Pick<Bookmark, "entries" | "digest"> = { entries: 0, digest: BEGINNING }) {
    if (at.digest !== null && !/^[0-9a-f]{64}$/.test(at.digest)) {
      throw new TypeError("The bookmark's digest is none: it has 64 hex digits.");
    }
    this.entries = at.entries;
    this.digest = at.digest;
  }

  /** An entry came. An older server sends no `number`. Throws Mismatch where it shows that others
   * before this one didn't come. */
  add(id: string, payload: string, number: unknown): void {
    if (typeof number === "number") {
      if (this.entries !== null && number !== this.entries + 1) {
        throw new Mismatch(`entry ${number} came after entry ${this.entries}`);
      }
      this.entries = number;
    } else if (this.entries !== null) {
      this.entries += 1;
    }
    if (this.digest !== null) this.digest = link(this.digest, id, payload);
  }

  /** Whether everything came, by what a `complete` says; false where that can't be told. Throws
   * Mismatch where it did not. */
  proves(entries: unknown, digest: unknown): boolean {
    if (typeof entries !== "number" || typeof digest !== "string") return false;
    if (this.entries !== null && this.entries !== entries) {
      throw new Mismatch(`${this.entries} entries came, and the server counts ${entries}`);
    }
    if (this.digest !== null && this.digest !== digest) {
      throw new Mismatch(`the digest of ${entries} entries is another than the server's`);
    }
    return this.digest !== null;
  }
}

/** The chain's end behind this entry. */
function link(digest: string, id: string, payload: string): string {
  const before = (digest.match(/../g) ?? []).map((byte) => parseInt(byte, 16));
  const entry = utf8.encode(`${id}\n${payload}`);
  const message = new Uint8Array(before.length + entry.length);
  message.set(before);
  message.set(entry, before.length);
  return Array.from(sha256(message), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
