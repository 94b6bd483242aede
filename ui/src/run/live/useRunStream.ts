/** The events of a run as they happen, applied once per frame. Goes on where it stopped after a lost connection. */
import { useEffect, useRef, useState } from "react";
import { segment } from "../../api/client";
import { parseExact } from "../../api/exactJson";
import { openStream, type StreamState } from "../../api/stream";
import type { RunEvent } from "../model/types";
import { RunFeed } from "./feed";
import { createFrameQueue, type FrameQueue } from "./frameQueue";

export interface RunStream {
  feed: RunFeed;
  state: StreamState | null;
}

const NO_CONTENT = 204;

/**
 * @param isWanted whether the events are needed: while the run goes on, or where its text is shown.
 * @param isPaused whether the page stands still; events are kept and applied afterwards.
 */
export function useRunStream(runId: string, isWanted: boolean, isPaused: boolean): RunStream {
  const [feed] = useState(() => new RunFeed(runId));
  const [state, setState] = useState<StreamState | null>(null);
  const queue = useRef<FrameQueue<RunEvent> | null>(null);
  const paused = useRef(isPaused);
  const held = useRef<RunEvent[]>([]);

  useEffect(() => {
    paused.current = isPaused;
    if (isPaused) return;
    const events = held.current;
    held.current = [];
    feed.apply(events);
  }, [feed, isPaused]);

  // Once opened, a stream is read to its end: the last events come after the page has heard that the run is over.
  const isNeeded = isWanted || (feed.lastIndex >= 0 && !feed.isEnded);
  useEffect(() => {
    if (!isNeeded || feed.isEnded) return;
    const own = createFrameQueue<RunEvent>((events) => {
      if (paused.current) for (const event of events) held.current.push(event);
      else feed.apply(events);
    });
    queue.current = own;
    const stream = openStream({
      path: `/runs/${segment(runId)}/events`,
      lastEventId: feed.lastIndex < 0 ? null : String(feed.lastIndex),
      onMessage: (message) => {
        const event = parse(message.data);
        if (event !== null) own.push(event);
      },
      onState: (next) => {
        // 204: everything of a finished run was read already.
        setState(next.name === "failed" && next.error.status === NO_CONTENT ? { name: "ended" } : next);
      },
      isOver: () => {
        own.flush();
        return feed.isEnded || (held.current.length > 0 && isEnd(held.current.at(-1)));
      },
    });
    return () => {
      stream.close();
      own.flush();
      own.close();
      queue.current = null;
    };
  }, [runId, feed, isNeeded]);

  return { feed, state };
}

function parse(data: string): RunEvent | null {
  try {
    const value = parseExact(data);
    return typeof value === "object" && value !== null ? (value as RunEvent) : null;
  } catch {
    return null;
  }
}

function isEnd(event: RunEvent | undefined): boolean {
  return (
    event !== undefined && event.nested_depth === 0 && /(Run|Workflow)(Completed|Error|Cancelled)$/.test(event.event)
  );
}
