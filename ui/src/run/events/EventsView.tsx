import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { Button } from "../../shared/Button";
import { CodeBlock, CopyButton } from "../../shared/CodeBlock";
import { formatOffset, plural } from "../../shared/format";
import { EmptyState, ErrorState, Skeleton } from "../../shared/PageStates";
import type { RunFeed } from "../live/feed";
import type { RunEvent } from "../model/types";
import type { Only } from "../timeline/draw";
import { VirtualRows, type VirtualRowsHandle } from "../virtual/VirtualRows";
import { type EventRow, hasEvent, toEventRows } from "./rows";
import { eventSummary, isFailure, shortened } from "./summary";
import { useOlderEvents } from "./useOlderEvents";

interface EventsViewProps {
  runId: string;
  feed: RunFeed;
  start: number;
  only: Only;
  /** The event to show, once it is there. */
  focus: EventFocus | null;
}

/** The first event of a tool call, or of its run at or after a time. */
export interface EventFocus {
  runId: string;
  at: number;
  callId: string | null;
}

/** Steps have whole milliseconds. */
const ROUNDING = 0.002;

const ROW_HEIGHT = 30;

/** The raw events, newest first. */
export function EventsView({ runId, feed, start, only, focus }: EventsViewProps) {
  const version = useSyncExternalStore(feed.subscribe, feed.getVersion);
  const older = useOlderEvents(runId, feed);
  const [openKey, setOpenKey] = useState<string | null>(null);
  const [openPieces, setOpenPieces] = useState<ReadonlySet<string>>(new Set());
  const scroller = useRef<HTMLDivElement>(null);

  const events = useMemo(() => {
    void version;
    const last = older.events.at(-1)?.event_index ?? -1;
    const all = [...older.events, ...feed.recent.filter((event) => event.event_index > last)];
    return only === null ? all : all.filter((event) => (only === "failed" ? isFailure(event) : isWait(event)));
  }, [feed, version, older.events, only]);

  const rows = useMemo(() => toEventRows(events, openPieces), [events, openPieces]);
  const keys = useMemo(() => rows.map((row) => row.key), [rows]);
  const list = useRef<VirtualRowsHandle>(null);
  const oldest = events[0]?.event_index ?? 0;
  const { hasOlder } = older;
  // Newest first, so the first event is in the last one of the rows.
  const position = focus === null ? -1 : rows.findLastIndex((row) => hasEvent(row, (event) => isIn(event, focus)));
  // It may be older than the events that are loaded: they are read back to it.
  const isFound = position >= 0 && (position < rows.length - 1 || !hasOlder);
  const isSought = focus !== null && !isFound && hasOlder && !older.isLoading && older.error === null;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the next page is read after each one
  useEffect(() => {
    if (isSought) older.load();
  }, [isSought, older.events]);
  const focusKey = isFound ? (rows[position]?.key ?? null) : null;
  const focusAt = useRef(position);
  focusAt.current = position;
  useEffect(() => {
    if (focusKey === null) return;
    setOpenKey(focusKey);
    list.current?.scrollTo(focusAt.current);
  }, [focusKey]);

  const togglePieces = (key: string) =>
    setOpenPieces((keys) => new Set(keys.has(key) ? [...keys].filter((other) => other !== key) : [...keys, key]));

  if (events.length === 0 && older.isLoading) return <Skeleton rows={8} />;
  if (events.length === 0 && !hasOlder && older.error === null)
    return <EmptyState title={only === null ? "No events yet" : "No such events"} />;
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a list that scrolls must be reachable by keyboard */}
      <section className="events" ref={scroller} tabIndex={0} aria-label="Events, newest first">
        <VirtualRows
          keys={keys}
          estimate={ROW_HEIGHT}
          scroller={scroller}
          handle={list}
          render={(i) => {
            const row = rows[i];
            if (row === undefined) return null;
            return row.kind === "pieces" ? (
              <PiecesRow row={row} start={start} isOpen={openPieces.has(row.key)} onToggle={togglePieces} />
            ) : (
              <EventLine
                row={row}
                start={start}
                isOpen={row.key === openKey}
                onToggle={(key) => setOpenKey(key === openKey ? null : key)}
              />
            );
          }}
        />
      </section>
      {older.error === null ? null : <ErrorState error={older.error} onRetry={older.load} />}
      {hasOlder ? (
        <div className="events-foot">
          <Button disabled={older.isLoading} onClick={older.load}>
            {older.isLoading ? "Loading" : "Load older events"}
          </Button>
          <span className="text-meta text-ink-3">{`from event ${oldest}`}</span>
        </div>
      ) : null}
    </>
  );
}

function isIn(event: RunEvent, { runId, at, callId }: EventFocus): boolean {
  if (event.run_id !== runId) return false;
  return callId === null ? event.at >= at - ROUNDING : event.tool?.tool_call_id === callId;
}

function isWait(event: RunEvent): boolean {
  return event.event.endsWith("RunPaused") || event.event.endsWith("RunContinued");
}

interface RowProps<K extends EventRow["kind"]> {
  row: Extract<EventRow, { kind: K }>;
  start: number;
  isOpen: boolean;
  onToggle: (key: string) => void;
}

function EventLine({ row, start, isOpen, onToggle }: RowProps<"event">) {
  const { event, isPiece } = row;
  return (
    <>
      <button
        type="button"
        className={`event-row${isFailure(event) ? " text-fail" : ""}${isPiece ? " is-piece" : ""}`}
        aria-expanded={isOpen}
        onClick={() => onToggle(row.key)}
      >
        <Cells event={event} start={start} summary={eventSummary(event)} />
      </button>
      {isOpen ? (
        <div className="event-raw">
          <CodeBlock value={event} label={`Event ${event.event_index}`} />
          <CopyButton text={() => JSON.stringify(event, null, 2)} label="Copy the event" />
        </div>
      ) : null}
    </>
  );
}

function PiecesRow({ row, start, isOpen, onToggle }: RowProps<"pieces">) {
  const { first, pieces, characters } = row;
  const text = `${plural(pieces.length, "piece")}, ${plural(characters, "character")}: ${shortened(row.text)}`;
  return (
    <button type="button" className="event-row" aria-expanded={isOpen} onClick={() => onToggle(row.key)}>
      <Cells event={first} start={start} summary={text} />
    </button>
  );
}

function Cells({ event, start, summary }: { event: RunEvent; start: number; summary: string }) {
  return (
    <>
      <span className="numeric text-ink-3">{event.event_index}</span>
      <span className="numeric text-ink-3">{`+${formatOffset(event.at - start)}`}</span>
      <span className="truncate font-medium">{event.team_name ?? event.agent_name ?? event.workflow_name ?? ""}</span>
      <code className="truncate">{event.event}</code>
      <span className="truncate text-ink-2">{summary}</span>
    </>
  );
}
