// The key somebody typed in, and the short-lived tokens it is exchanged for. An EventSource can't
// send headers, and a URL is no place for a key: a token in it soon ends.

const KEY_STORE = "wd.key";
const TOKEN_PATH = "/v4/auth/token";
const EXPIRY_MARGIN_MS = 10_000; // a token that ends sooner is not worth a connection
const EXCHANGE_DEADLINE_MS = 15_000;

/** Why something was refused, in the server's own words. */
export class Refusal extends Error {
  /** @param {string} code @param {string} message @param {number | null} retryAfter seconds */
  constructor(code, message, retryAfter = null) {
    super(message);
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

export class Access {
  /** By wallet. @type {Map<string, {text: string, expires: number}>} */
  #tokens = new Map();
  /** @type {string | null} */
  #key = null;

  constructor() {
    try {
      this.#key = sessionStorage.getItem(KEY_STORE);
    } catch {
      // Storage is switched off: the key is asked for again after a reload.
    }
  }

  get hasKey() {
    return this.#key !== null;
  }

  /** @param {string | null} key null: forget it */
  use(key) {
    this.#key = key;
    this.#tokens.clear();
    try {
      if (key === null) sessionStorage.removeItem(KEY_STORE);
      else sessionStorage.setItem(KEY_STORE, key);
    } catch {
      // As above.
    }
  }

  /** The token for this wallet ended before its time. @param {string} wallet */
  expired(wallet) {
    this.#tokens.delete(wallet);
  }

  /** @param {string} wallet @returns {Promise<string | null>} null without a key
   * Throws Refusal if the server refuses, TypeError or DOMException if it can't be reached. */
  async token(wallet) {
    if (this.#key === null) return null;
    const known = this.#tokens.get(wallet);
    if (known && known.expires - EXPIRY_MARGIN_MS > Date.now()) return known.text;
    const response = await fetch(TOKEN_PATH, {
      method: "POST",
      headers: { Authorization: `Bearer ${this.#key}`, "Content-Type": "application/json" },
      body: JSON.stringify({ wallets: [wallet] }),
      signal: AbortSignal.timeout(EXCHANGE_DEADLINE_MS),
    });
    if (!response.ok) throw await refusal(response);
    const { access_token: text, expires_in: seconds } = await response.json();
    this.#tokens.set(wallet, { text, expires: Date.now() + seconds * 1000 });
    return text;
  }

  /** A request as whoever the key is. @param {string} path @param {string} wallet */
  async get(path, wallet) {
    const token = await this.token(wallet);
    const response = await fetch(path, {
      headers: { Accept: "application/json", ...(token && { Authorization: `Bearer ${token}` }) },
      signal: AbortSignal.timeout(EXCHANGE_DEADLINE_MS),
    });
    if (!response.ok) throw await refusal(response);
    return response.json();
  }
}

/** @param {Response} response */
async function refusal(response) {
  const wait = Number(response.headers.get("Retry-After")) || null;
  const problem = await response.json().catch(() => null); // a proxy's page, perhaps
  const said = problem?.detail ?? `The server answered with status ${response.status}.`;
  return new Refusal(problem?.code ?? `HTTP_${response.status}`, said, wait);
}
