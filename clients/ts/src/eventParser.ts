/** Reads server-sent events out of text that comes in pieces, as the HTML standard says. */

export interface ServerSentEvent {
  /** What `event:` says. */
  event?: string;
  /** What `id:` says. */
  id?: string;
  data: string;
}

export interface EventParser {
  /** Read the next piece. */
  feed(text: string): void;
}

/** @param onEvent called for each event that is complete. */
export function createEventParser(onEvent: (event: ServerSentEvent) => void): EventParser {
  let pieces: string[] = []; // of the line that is not complete
  let data: string[] = [];
  let fields: Omit<ServerSentEvent, "data"> = {};

  const readLine = (line: string) => {
    if (line === "") {
      if (data.length > 0) onEvent({ ...fields, data: data.join("\n") });
      data = [];
      fields = {};
      return;
    }
    const [, name, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (name === "data") data.push(value);
    else if (name === "event") fields.event = value;
    else if (name === "id" && !value.includes("\0")) fields.id = value;
  };

  return {
    feed: (text) => {
      if (text === "") return;
      const isAfterCr = pieces.at(-1)?.endsWith("\r");
      pieces.push(text);
      // Joined only if a line ends: an event may be one long line that comes in many pieces.
      if (!isAfterCr && !/[\r\n]/.test(text)) return;
      // A CR at the end may be the first half of a CRLF.
      const lines = pieces.join("").split(/\r\n|\n|\r(?!$)/);
      pieces = [lines.pop() ?? ""];
      for (const line of lines) readLine(line);
    },
  };
}
