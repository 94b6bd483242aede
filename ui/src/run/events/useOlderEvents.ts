import { dataOf } from "musterd-client";
import { useCallback, useRef, useState } from "react";
import { api } from "../../api/client";
import type { RunEvent } from "../model/types";

/** How many indexes one request covers. */
const PAGE = 1000;

export interface OlderEvents {
  events: readonly RunEvent[];
  isLoading: boolean;
  error: unknown;
  load: () => void;
}

/** Events before `first`, the oldest index that the page holds: read page by page, newest page first. */
export function useOlderEvents(runId: string, first: number | null): OlderEvents {
  const [events, setEvents] = useState<readonly RunEvent[]>([]);
  const [isLoading, setLoading] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const reached = useRef<number | null>(null);

  const load = useCallback(async () => {
    const before = reached.current ?? first;
    if (before === null || before <= 0 || isLoading) return;
    setLoading(true);
    setError(null);
    try {
      const after = Math.max(-1, before - 1 - PAGE);
      const params = { path: { run_id: runId }, query: { after, limit: PAGE } };
      const page = await dataOf(api.GET("/runs/{run_id}/events", { params }));
      reached.current = after + 1;
      const events: RunEvent[] = page.events;
      const older = events.filter((event) => event.event_index < before);
      setEvents((known) => [...older, ...known]);
    } catch (problem) {
      setError(problem);
    } finally {
      setLoading(false);
    }
  }, [runId, first, isLoading]);

  return { events, isLoading, error, load: () => void load() };
}
