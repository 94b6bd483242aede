import type { RunEventsPage } from "musterd-client";
import { useCallback, useEffect, useRef, useState } from "react";
import { api } from "../../api/client";
import { exactDataOf } from "../../api/exactJson";
import type { RunFeed } from "../live/feed";
import type { RunEvent } from "../model/types";

/** How many indexes are read at once. */
const PAGE = 1000;

export interface OlderEvents {
  events: readonly RunEvent[];
  /** Whether there are more. */
  hasOlder: boolean;
  isLoading: boolean;
  error: unknown;
  load: () => void;
}

/**
 * The events before those that the feed has kept, page by page, newest page first. The newest page of all is read at
 * once if the feed has none yet: it would begin with the first event of the run.
 */
export function useOlderEvents(runId: string, feed: RunFeed): OlderEvents {
  const [events, setEvents] = useState<readonly RunEvent[]>([]);
  const [isLoading, setLoading] = useState(feed.lastIndex < 0);
  const [error, setError] = useState<unknown>(null);
  // Kept from the first page on: the feed drops old events as new ones arrive.
  const reached = useRef<number | null>(null);

  const load = useCallback(async () => {
    setLoading(true);
    setError(null);
    try {
      const before = reached.current ?? feed.recent[0]?.event_index ?? (await endOf(runId));
      if (reached.current === null) feed.keptFrom = before;
      const after = Math.max(-1, before - 1 - PAGE);
      const older = await readEvents(runId, after, before);
      reached.current = after + 1;
      setEvents((known) => [...older, ...known]);
    } catch (problem) {
      setError(problem);
    } finally {
      setLoading(false);
    }
  }, [runId, feed]);

  useEffect(() => {
    if (feed.lastIndex < 0) void load();
  }, [feed, load]);

  useEffect(
    () => () => {
      feed.keptFrom = Number.POSITIVE_INFINITY;
    },
    [feed],
  );

  const hasOlder = (reached.current ?? feed.recent[0]?.event_index ?? 0) > 0;
  return { events, hasOlder, isLoading, error, load: () => void load() };
}

/** The index that the next event of the run will have. */
async function endOf(runId: string): Promise<number> {
  // A page never begins after the last event, and says where it ends.
  const page = await readPage(runId, Number.MAX_SAFE_INTEGER);
  return page.last_event_index + 1;
}

/** The events between two indexes. Long ones fill a page before its number of events does. */
async function readEvents(runId: string, after: number, before: number): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for (let last = after; last < before - 1; ) {
    const page = await readPage(runId, last);
    events.push(...page.events);
    if (!page.has_more) break;
    last = page.last_event_index;
  }
  return events.filter((event) => event.event_index < before);
}

function readPage(runId: string, after: number): Promise<RunEventsPage> {
  const params = { path: { run_id: runId }, query: { after, limit: PAGE } };
  return exactDataOf(api.GET("/runs/{run_id}/events", { params, parseAs: "text" }));
}
