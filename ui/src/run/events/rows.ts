/** Events as rows: pieces of one text are one row, which opens to them. */
import { textOf } from "../live/feed";
import type { RunEvent } from "../model/types";

export type EventRow =
  | { kind: "event"; key: string; event: RunEvent; isPiece: boolean }
  | {
      kind: "pieces";
      key: string;
      first: RunEvent;
      pieces: readonly RunEvent[];
      characters: number;
      /** The beginning of the text. */
      text: string;
    };

/** The least length of the beginning of a text, if it has as much. */
const TEXT_CHARACTERS = 200;

type Pieces = Extract<EventRow, { kind: "pieces" }> & { pieces: RunEvent[] };

const PIECES = new Set(
  ["RunContent", "RunIntermediateContent", "ReasoningContentDelta"].flatMap((name) => [name, `Team${name}`]),
);

/**
 * The rows, newest first. As when the server joins pieces: with no other event between them, those of one run and kind
 * are joined, also if several runs write at once.
 *
 * @param events oldest first.
 * @param open the keys of the rows of pieces that are open.
 */
export function toEventRows(events: readonly RunEvent[], open: ReadonlySet<string>): EventRow[] {
  const joined: (RunEvent | Pieces)[] = [];
  const writing = new Map<string, Pieces>();
  for (const event of events) {
    if (!PIECES.has(event.event)) {
      writing.clear();
      joined.push(event);
      continue;
    }
    const text = `${event.run_id} ${event.event}`;
    let row = writing.get(text);
    if (row === undefined) {
      row = { kind: "pieces", key: `from ${event.event_index}`, first: event, pieces: [], characters: 0, text: "" };
      writing.set(text, row);
      joined.push(row);
    }
    row.pieces.push(event);
    const piece = textOf(event.content) + (event.reasoning_content ?? "");
    row.characters += piece.length;
    if (row.text.length < TEXT_CHARACTERS) row.text += piece;
  }
  return joined.flatMap((item) => rowsOf(item, open)).reverse();
}

/** Oldest first, so that the row of pieces stands above them once all is turned round. */
function rowsOf(item: RunEvent | Pieces, open: ReadonlySet<string>): EventRow[] {
  if (!isPieces(item)) return [eventRow(item, false)];
  if (item.pieces.length === 1) return [eventRow(item.first, false)];
  return open.has(item.key) ? [...item.pieces.map((event) => eventRow(event, true)), item] : [item];
}

function isPieces(item: RunEvent | Pieces): item is Pieces {
  return "pieces" in item && item.kind === "pieces";
}

function eventRow(event: RunEvent, isPiece: boolean): EventRow {
  return { kind: "event", key: String(event.event_index), event, isPiece };
}

/** Whether the row shows an event like this, itself or as one of its pieces. */
export function hasEvent(row: EventRow, matches: (event: RunEvent) => boolean): boolean {
  return row.kind === "event" ? matches(row.event) : row.pieces.some(matches);
}
