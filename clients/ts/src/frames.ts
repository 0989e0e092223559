/** Text of an event stream -> its events (WHATWG HTML, section 9.2.6). */

export interface Frame {
  name: string;
  id: string | null;
  /** null: no event, but its `retry` counts. */
  data: string | null;
  /** Milliseconds. */
  retry: number | null;
}

/** Characters of one event: a batch of 500 trades, the largest there is, has about 400,000. */
const EVENT_CHARACTERS = 8 * 1024 * 1024;

export class FrameReader {
  #rest = "";
  #lines: string[] = [];
  #size = 0;

  /** The events that end within this piece. Throws RangeError for one that doesn't end. */
  feed(piece: string): Frame[] {
    const frames: Frame[] = [];
    let text = this.#rest + piece;
    // The LF of a CRLF may be on its way.
    const held = text.endsWith("\r") ? "\r" : "";
    if (held) text = text.slice(0, -1);
    const lines = text.split(/\r\n|\r|\n/);
    this.#rest = (lines.pop() ?? "") + held;
    for (const line of lines) {
      if (line) {
        this.#lines.push(line);
        this.#size += line.length;
      } else if (this.#lines.length) {
        frames.push(frame(this.#lines));
        this.#lines = [];
        this.#size = 0;
      }
    }
    if (this.#size + this.#rest.length > EVENT_CHARACTERS) {
      throw new RangeError("An event does not end.");
    }
    return frames;
  }
}

function frame(lines: string[]): Frame {
  const found: Frame = { name: "message", id: null, data: null, retry: null };
  for (const line of lines) {
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "data") found.data = found.data === null ? value : `${found.data}\n${value}`;
    else if (field === "id") found.id = value || null;
    else if (field === "event") found.name = value;
    else if (field === "retry" && /^[0-9]+$/.test(value)) found.retry = Number(value);
  }
  return found;
}
