/** Text of an event stream -> its events (WHATWG HTML, section 9.2.6). */

export interface Frame {
  name: string;
  /** null without an `id` line, empty where the line is: that resets the position. */
  id: string | null;
  /** null: no event, but its id and its `retry` count. */
  data: string | null;
  /** Milliseconds. */
  retry: number | null;
}

/** Characters of one event: a batch of 500 trades, the largest there is, has about 400,000. */
const EVENT_CHARACTERS = 8 * 1024 * 1024;
/** No header can carry these back: an id with one is ignored, as the standard ignores one with NUL. */
const CONTROL = /[\0-\x08\x0a-\x1f\x7f]/;

/** Its time is linear in what comes, however small the pieces are: a line is looked at when it ends. */
export class FrameReader {
  #parts: string[] = [];
  #held = "";
  #lines: string[] = [];
  #size = 0;

  /** The events that end within this piece. Throws RangeError for one that doesn't end. */
  feed(piece: string): Frame[] {
    const frames: Frame[] = [];
    let text = this.#held + piece;
    // The LF of a CRLF may be on its way.
    this.#held = text.endsWith("\r") ? "\r" : "";
    if (this.#held) text = text.slice(0, -1);
    const pieces = text.split(/\r\n|\r|\n/);
    const rest = pieces.pop() ?? "";
    for (const end of pieces) {
      const line = this.#parts.join("") + end;
      this.#parts = [];
      if (line) {
        this.#lines.push(line);
        this.#size += end.length;
      } else if (this.#lines.length) {
        frames.push(frame(this.#lines));
        this.#lines = [];
        this.#size = 0;
      }
    }
    if (rest) this.#parts.push(rest);
    this.#size += rest.length;
    if (this.#size > EVENT_CHARACTERS) throw new RangeError("An event does not end.");
    return frames;
  }
}

function frame(lines: string[]): Frame {
  const data: string[] = [];
  const found: Frame = { name: "message", id: null, data: null, retry: null };
  for (const line of lines) {
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "data") data.push(value);
    else if (field === "id" && !CONTROL.test(value)) found.id = value;
    else if (field === "event") found.name = value || "message";
    else if (field === "retry" && /^[0-9]{1,15}$/.test(value)) found.retry = Number(value);
  }
  if (data.length) found.data = data.join("\n");
  return found;
}
