import { Button } from "./Button";
import { ErrorState } from "./PageStates";

/** What of a list's query says how to go on; TanStack Query's names. */
export interface PagedList {
  hasNextPage: boolean;
  isFetchingNextPage: boolean;
  isFetchNextPageError: boolean;
  error: unknown;
  fetchNextPage: () => unknown;
}

/** Loads the next page of a list, and says why if that fails. There is none after the last page. */
export function NextPage({ list, label }: { list: PagedList; label: string }) {
  if (!list.hasNextPage) return null;
  const load = () => void list.fetchNextPage();
  if (list.isFetchNextPageError) return <ErrorState error={list.error} onRetry={load} />;
  return (
    <div className="p-1.5 text-center">
      <Button kind="quiet" disabled={list.isFetchingNextPage} onClick={load}>
        {list.isFetchingNextPage ? "Loading" : label}
      </Button>
    </div>
  );
}
