// The connection's state in words, and the time until the next attempt.

/** @typedef {import("./stream.js").State} State */
/** @typedef {"idle" | "busy" | "good" | "waiting" | "bad"} Tone */

const TICK_MS = 250;

export class Status {
  #box;
  #text;
  #wait;
  #retry;
  #timer = 0;

  /** @param {HTMLElement} box @param {HTMLElement} text spoken when it changes
   * @param {HTMLElement} wait not spoken: it changes each second
   * @param {HTMLButtonElement} retry */
  constructor(box, text, wait, retry) {
    this.#box = box;
    this.#text = text;
    this.#wait = wait;
    this.#retry = retry;
  }

  /** @param {State} state @param {boolean} complete whether the whole history is here */
  show(state, complete) {
    const { tone, text, detail } = words(state, complete);
    this.#box.hidden = false;
    this.#box.dataset.tone = tone;
    this.#box.title = detail;
    const spoken = detail && tone !== "good" ? `${text} ${detail}` : text;
    if (this.#text.textContent !== spoken) this.#text.textContent = spoken;
    this.#retry.hidden = state.kind !== "waiting" && state.kind !== "closed";
    this.#retry.textContent = state.kind === "closed" ? "Try again" : "Now";
    this.#retry.setAttribute("aria-label", state.kind === "closed" ? "Try again" : "Reconnect now");
    clearInterval(this.#timer);
    this.#wait.textContent = "";
    if (state.kind === "waiting") {
      const { until } = state;
      const tick = () => {
        const seconds = Math.max(0, Math.ceil((until - Date.now()) / 1000));
        this.#wait.textContent = `Reconnecting in ${seconds} s`;
      };
      tick();
      this.#timer = setInterval(tick, TICK_MS);
    }
  }

  hide() {
    clearInterval(this.#timer);
    this.#box.hidden = true;
  }
}

/** @param {State} state @param {boolean} complete
 * @returns {{tone: Tone, text: string, detail: string}} */
function words(state, complete) {
  const shared = state.shared ? "Shared with another tab." : "";
  switch (state.kind) {
    case "connecting":
      return { tone: "busy", text: "Connecting\u2026", detail: "" };
    case "open": {
      const text = complete ? "Live" : "Receiving the history";
      return { tone: "good", text: state.resumed ? `${text}, resumed` : text, detail: shared };
    }
    case "waiting":
      return { tone: "waiting", text: "Interrupted.", detail: state.why };
    case "locked":
      return { tone: "bad", text: "A key is needed.", detail: state.why };
    case "closed":
      return { tone: "bad", text: "Closed.", detail: state.why };
  }
}
