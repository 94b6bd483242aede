import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { type KeyboardEvent, useId, useState } from "react";
import { listRuns } from "../api/runs";
import type { RunSummary } from "../api/types";
import { Dialog } from "../shared/Dialog";
import { ErrorState } from "../shared/PageStates";
import { StatusIcon } from "../shared/Status";
import { STATUS_TONE, shownStatus } from "../shared/status";
import { useSettled } from "../shared/useSettled";
import { navigate } from "./hashLocation";

interface Entry {
  id: string;
  /** Null: it searches on. */
  to: string | null;
  title: string;
  detail: string;
  run?: RunSummary;
}

const MAX_RUNS = 8;
const PAGES = ["Runs", "Approvals", "Sessions", "Teams", "Health"];

/** Finds runs by their request, answer or id, and jumps to pages. */
export function SearchDialog({ onClose }: { onClose: () => void }) {
  const [text, setText] = useState("");
  const [selected, setSelected] = useState<number | null>(null);
  const listId = useId();
  const query = useSettled(text.trim());
  const { data, error, refetch, hasNextPage, isFetchingNextPage, fetchNextPage, isPlaceholderData } = useInfiniteQuery({
    queryKey: ["runs", "search", query],
    queryFn: ({ pageParam, signal }) => listRuns({ q: query, limit: MAX_RUNS, cursor: pageParam }, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.meta.next_cursor,
    enabled: query.length > 1,
    placeholderData: keepPreviousData,
  });
  const runs = query.length > 1 ? (data?.pages.flatMap((page) => page.data) ?? []) : [];
  const hasOlder = query.length > 1 && hasNextPage && runs.length < MAX_RUNS;
  const older: Entry = {
    id: "older",
    to: null,
    title: isFetchingNextPage ? "Searching older runs" : "Search older runs",
    detail: "Search",
  };
  const entries = entriesOf(text.trim(), runs.slice(0, MAX_RUNS), hasOlder ? [older] : []);
  // Enter must not open a run that an earlier text has found: until there is an answer, what needs none is chosen.
  const isOld = query !== text.trim() || (query.length > 1 && isPlaceholderData);
  const first = isOld ? entries.findIndex(({ run, to }) => run === undefined && to !== null) : 0;
  const index = Math.min(selected ?? first, entries.length - 1);

  const open = (entry: Entry | undefined) => {
    if (!entry) return;
    if (entry.to === null) {
      if (!isFetchingNextPage) void fetchNextPage();
      return;
    }
    onClose();
    navigate(entry.to);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown") setSelected(Math.min(index + 1, entries.length - 1));
    else if (event.key === "ArrowUp") setSelected(Math.max(index - 1, 0));
    else if (event.key === "Enter") open(entries[index]);
    else return;
    event.preventDefault();
  };

  return (
    <Dialog title="Search or jump to" onClose={onClose} isTitleHidden>
      <div className="p-3">
        <input
          className="input"
          type="text" // a search field would take the first Escape to clear itself
          enterKeyHint="search"
          role="combobox"
          aria-label="Search runs and pages"
          aria-expanded={entries.length > 0}
          aria-controls={listId}
          aria-activedescendant={entries[index] ? `${listId}-${index}` : undefined}
          placeholder="A request, an answer, the id of a run, or a page"
          value={text}
          onChange={(event) => {
            setText(event.target.value);
            setSelected(null);
          }}
          onKeyDown={onKeyDown}
        />
      </div>
      {error ? <ErrorState error={error} onRetry={() => void refetch()} /> : null}
      <div id={listId} role="listbox" aria-label="Results" className="border-t border-line pb-2">
        {entries.map((entry, position) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the keys are the field's, which keeps the focus
          <div
            key={entry.id}
            id={`${listId}-${position}`}
            role="option"
            tabIndex={-1}
            aria-selected={position === index}
            className="flex min-h-10 cursor-pointer items-center gap-2 px-4 py-1.5 aria-selected:bg-hover"
            onClick={() => open(entry)}
            onMouseMove={() => position !== index && setSelected(position)}
          >
            {entry.run ? (
              <span className="status" data-tone={STATUS_TONE[shownStatus(entry.run)]}>
                <StatusIcon status={shownStatus(entry.run)} />
              </span>
            ) : null}
            <span className="min-w-0 truncate">{entry.title}</span>
            <span className="ml-auto flex-none text-meta text-ink-3">{entry.detail}</span>
          </div>
        ))}
      </div>
    </Dialog>
  );
}

function entriesOf(text: string, runs: RunSummary[], older: Entry[]): Entry[] {
  const lower = text.toLowerCase();
  const pages = PAGES.filter((page) => page.toLowerCase().startsWith(lower)).map((page) => ({
    id: page,
    to: `/${page.toLowerCase()}`,
    title: page,
    detail: "Page",
  }));
  const listed = runs.map((run) => ({
    id: run.run_id,
    to: `/runs/${encodeURIComponent(run.run_id)}`,
    title: run.input || run.run_id,
    detail: run.component_name ?? run.component_id,
    run,
  }));
  if (!text) return pages;
  const all = { id: "all", to: `/runs?q=${encodeURIComponent(text)}`, title: `Runs with “${text}”`, detail: "Search" };
  return [...listed, ...older, ...pages, all];
}
