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
  let rest = "";
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
      rest += text;
      // A CR at the end may be the first half of a CRLF.
      const lines = rest.split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? "";
      for (const line of lines) readLine(line);
    },
  };
}
