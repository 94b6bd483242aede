import { Activity, ArrowUp, ListFilter, Terminal, X } from "lucide-react";
import { type ReactNode, Suspense, useRef, useState } from "react";
import { useParams } from "../app/hashLocation";
import { usePageTitle } from "../app/pageTitle";
import { lazyPart } from "../app/parts";
import { useStartRun } from "../app/startContext";
import { Button } from "../shared/Button";
import { formatCost, formatCount, plural } from "../shared/format";
import { useKeys } from "../shared/keyboard";
import { EmptyState, ErrorState, Skeleton } from "../shared/PageStates";
import { type ComponentOption, componentLabel, useComponentOptions } from "./components";
import { FilterBar } from "./FilterBar";
import { countFilters, type Filters, filtersFrom, stateFilter, targetOf } from "./filters";
import { RunTable } from "./RunTable";
import { MOST_FRESH, sums } from "./runList";
import { type OlderRuns, useRunList } from "./useRunList";

const FirstRunCurl = lazyPart(() => import("../start/FirstRunCurl"));

/** All runs: what is active first, then what has finished. */
export function RunsPage() {
  const [params, changeParams] = useParams();
  const filters = filtersFrom(params);
  const list = useRunList(filters);
  const panel = useRef<HTMLElement>(null);
  const rows = [...list.active, ...list.ended];
  const components = useComponentOptions();
  usePageTitle("Runs");
  useKeys("Runs", [
    { keys: "j", label: "Next run", run: () => focusRow(panel.current, 1) },
    { keys: "k", label: "Previous run", run: () => focusRow(panel.current, -1) },
  ]);

  const clear = () => changeParams({ state: null, team: null, user: null, session: null, q: null, since: null });
  return (
    <div className="page">
      <div className="page-head">
        <h1>Runs</h1>
        {filters.text ? (
          <ClearButton label={`Clear search ${filters.text}`} onClick={() => changeParams({ q: null })}>
            “{filters.text}”
          </ClearButton>
        ) : null}
        {filters.session ? (
          <ClearButton label="Runs of all sessions" onClick={() => changeParams({ session: null })}>
            Session {rows.find((run) => run.session_id === filters.session)?.session_name || filters.session}
          </ClearButton>
        ) : null}
      </div>
      <FilterBar filters={filters} counts={list.counts} components={components} runs={rows} onChange={changeParams} />
      <section className="panel overflow-hidden" ref={panel} aria-label="Runs">
        {list.freshCount > 0 && rows.length > 0 ? (
          <button type="button" className="new-runs" onClick={() => void list.refresh()}>
            <ArrowUp className="icon-small" aria-hidden="true" />
            {list.freshCount < MOST_FRESH ? plural(list.freshCount, "new run") : "1,000+ new runs"}
          </button>
        ) : null}
        {list.error ? <ErrorState error={list.error} onRetry={() => void list.refresh()} /> : null}
        {list.error && rows.length === 0 ? null : list.isLoading ? (
          <Skeleton rows={8} />
        ) : rows.length === 0 ? (
          <NoRuns
            filters={filters}
            components={components}
            total={list.counts?.all}
            older={[list.olderActive, list.olderEnded].filter((one) => one !== null)}
            onClear={clear}
          />
        ) : (
          <RunTable
            active={list.active}
            ended={list.ended}
            olderActive={list.olderActive}
            olderEnded={list.olderEnded}
          />
        )}
      </section>
      {rows.length > 0 ? <Foot count={rows.length} {...sums(rows)} /> : null}
    </div>
  );
}

function ClearButton({ label, onClick, children }: { label: string; onClick: () => void; children: ReactNode }) {
  return (
    <Button className="max-w-full" aria-label={label} onClick={onClick}>
      <span className="truncate">{children}</span>
      <X className="icon-small" aria-hidden="true" />
    </Button>
  );
}

function Foot({ count, tokens, cost }: { count: number; tokens: number; cost: number }) {
  return (
    <div className="page-foot">
      <span>{plural(count, "run")} shown</span>
      {tokens > 0 ? <span>{formatCount(tokens)} tokens</span> : null}
      {cost > 0 ? <span>{formatCost(cost)}</span> : null}
      <span className="only-desk ml-auto">
        <kbd>J</kbd> <kbd>K</kbd> move &nbsp; <kbd>Enter</kbd> open &nbsp; <kbd>/</kbd> search &nbsp; <kbd>?</kbd> all
        keys
      </span>
    </div>
  );
}

interface NoRunsProps {
  filters: Filters;
  components: readonly ComponentOption[];
  total: number | undefined;
  /** Lists that the server has not searched to their end. */
  older: readonly OlderRuns[];
  onClear: () => void;
}

function NoRuns({ filters, components, total, older, onClear }: NoRunsProps) {
  const count = countFilters(filters);
  if (filters.state === "all" && count === 0) return <FirstRun component={components[0]} />;
  const title = emptyTitle(filters, components);
  const clear = <Button onClick={onClear}>Clear filters</Button>;
  if (older.length > 0) return <NoneOfTheNewest title={title} older={older} clear={clear} />;
  const hidden = total && count === 0 ? `${plural(total, "run")} in other states.` : null;
  return (
    <EmptyState icon={ListFilter} title={title} actions={clear}>
      {hidden ?? (count > 0 ? `${plural(count, "filter")} may hide others.` : null)}
    </EmptyState>
  );
}

/** How to start the first run of all. */
function FirstRun({ component }: { component: ComponentOption | undefined }) {
  const startRun = useStartRun();
  const [showsCurl, setShowsCurl] = useState(false);
  const target = targetOf(component?.value ?? null);
  return (
    <>
      <EmptyState
        icon={Activity}
        title="No runs yet"
        actions={
          <>
            <Button kind="primary" onClick={() => startRun()}>
              Start a run
            </Button>
            {target ? (
              <Button className="only-desk" onClick={() => setShowsCurl(true)}>
                <Terminal className="icon" aria-hidden="true" />
                Copy as curl
              </Button>
            ) : null}
          </>
        }
      >
        Start one here, or send the first from your program.
      </EmptyState>
      {showsCurl && target ? (
        <Suspense>
          <FirstRunCurl target={target} onClose={() => setShowsCurl(false)} />
        </Suspense>
      ) : null}
    </>
  );
}

/** The server searches the newest runs first, and there is none of these among them. */
function NoneOfTheNewest({ title, older, clear }: { title: string; older: readonly OlderRuns[]; clear: ReactNode }) {
  const isLoading = older.some((one) => one.isLoading);
  const search = () => {
    for (const one of older) one.load();
  };
  return (
    <EmptyState
      icon={ListFilter}
      title={`${title} so far`}
      actions={
        <>
          <Button kind="primary" disabled={isLoading} onClick={search}>
            {isLoading ? "Searching" : "Search older runs"}
          </Button>
          {clear}
        </>
      }
    >
      Only the newest runs were searched.
    </EmptyState>
  );
}

function emptyTitle({ state, component, text }: Filters, components: readonly ComponentOption[]): string {
  const which = `${component ? ` of ${componentLabel(components, component)}` : ""}${text ? ` with “${text}”` : ""}`;
  if (state === "needs_you") return `Nothing${which} needs you`;
  const kind = state === "all" ? "runs" : `${stateFilter(state).label.toLowerCase()} runs`;
  return `No ${kind}${which}`;
}

/** Move the focus to another row's link; Enter then opens it like any link. */
function focusRow(panel: HTMLElement | null, step: 1 | -1): void {
  const links = [...(panel?.querySelectorAll<HTMLElement>("a[data-row]") ?? [])];
  const index = links.indexOf(document.activeElement as HTMLElement);
  const next = index < 0 ? links[0] : links[Math.min(Math.max(index + step, 0), links.length - 1)];
  next?.focus();
  next?.scrollIntoView?.({ block: "nearest" });
}
