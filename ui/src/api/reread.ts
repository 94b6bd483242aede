/** Reading again after changes that the feed tells. */
import { type QueryClient, type QueryKey, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";

/**
 * Read again what a change has made old. A read that is under way goes on, because over a slow connection none would
 * ever end otherwise; it may have begun before the change, so another one follows it.
 */
export async function reread(client: QueryClient, queryKey: QueryKey): Promise<void> {
  const isUnderWay = client.isFetching({ queryKey }) > 0;
  await client.invalidateQueries({ queryKey }, { cancelRefetch: false });
  if (isUnderWay) await client.invalidateQueries({ queryKey }, { cancelRefetch: false });
}

/** To be called at each change: the changes of some time are read together after it. */
export function useRereadAfter(milliseconds: number, queryKey: QueryKey): () => void {
  const client = useQueryClient();
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const latest = useRef(queryKey);
  latest.current = queryKey;
  useEffect(() => () => clearTimeout(timer.current), []);
  return () => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      void reread(client, latest.current);
    }, milliseconds);
  };
}
