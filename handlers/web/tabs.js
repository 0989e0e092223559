// Several tabs of one wallet share one connection, because a browser opens only six to a server.
//
// The tab that has the wallet's lock leads: it holds the connection and tells the others what comes.
// The browser frees the lock when that tab is closed or crashes, and the next one leads. Where a
// browser has no locks (pages that came over plain HTTP from another machine), each tab leads itself.

// Tabs that were loaded from different versions of this page don't understand each other.
const VERSION = new URL(".", import.meta.url).pathname;

/** `to` undefined: for all. @typedef {{from: string, to?: string, type: string, [key: string]: any}} Message */

export class Tabs {
  leads = false;
  #name;
  #onLead;
  #onMessage;
  #id = "";
  /** @type {BroadcastChannel | null} */
  #channel = null;
  #leaving = new AbortController();

  /** @param {string} address @param {() => void} onLead
   * @param {(message: Message) => void} onMessage what another tab says */
  constructor(address, onLead, onMessage) {
    this.#name = `wd ${VERSION} ${address}`;
    this.#onLead = onLead;
    this.#onMessage = onMessage;
  }

  join() {
    if (!navigator.locks) {
      this.#lead();
      return;
    }
    this.#id = crypto.randomUUID();
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => {
      if (!data.to || data.to === this.#id) this.#onMessage(data);
    };
    const { signal } = this.#leaving;
    const hold = () => {
      if (signal.aborted) return undefined;
      this.#lead();
      return new Promise((release) => signal.addEventListener("abort", release));
    };
    navigator.locks.request(this.#name, { signal }, hold).catch((error) => {
      if (error.name !== "AbortError") throw error; // it left before its turn
    });
  }

  leave() {
    this.leads = false;
    this.#leaving.abort();
    this.#channel?.close();
    this.#channel = null;
  }

  /** @param {string} type @param {object} content @param {string} [to] */
  tell(type, content = {}, to = undefined) {
    this.#channel?.postMessage({ ...content, type, from: this.#id, to });
  }

  #lead() {
    this.leads = true;
    this.#onLead();
  }
}
