import { type QueryFilters, useQuery, useQueryClient } from "@tanstack/react-query";
import {
  Activity,
  HeartPulse,
  Inbox,
  type LucideIcon,
  MessagesSquare,
  Moon,
  Plus,
  Search,
  Sun,
  Users,
} from "lucide-react";
import { type ReactNode, Suspense, useEffect, useState } from "react";
import { Link, useLocation } from "wouter";
import { useApprovalChanges } from "../api/approvalChanges";
import { useConnection, useFeed, usePollInterval } from "../api/feed";
import { pendingApprovalsQuery, useRereadAfterGaps } from "../api/queries";
import { Button } from "../shared/Button";
import { Dialog } from "../shared/Dialog";
import { HELP_KEY, useKeyboard, useKeys } from "../shared/keyboard";
import type { StartForm } from "../start/startRequest";
import { AccountMenu } from "./AccountMenu";
import { ConnectionState } from "./ConnectionState";
import { navigate } from "./hashLocation";
import { KeyHelp } from "./KeyHelp";
import { Mark } from "./Mark";
import { NoticeList } from "./NoticeList";
import { setBadge } from "./pageTitle";
import { lazyPart, PartErrors } from "./parts";
import { SearchDialog } from "./SearchDialog";
import { ServerGone } from "./ServerGone";
import { StartContext } from "./startContext";
import { toggleTheme, useTheme } from "./theme";

const StartRunDialog = lazyPart(() => import("../start/StartRunDialog"));

const PAGES: { path: string; title: string; key: string; icon: LucideIcon }[] = [
  { path: "/runs", title: "Runs", key: "r", icon: Activity },
  { path: "/approvals", title: "Approvals", key: "a", icon: Inbox },
  { path: "/sessions", title: "Sessions", key: "s", icon: MessagesSquare },
  { path: "/teams", title: "Teams", key: "t", icon: Users },
  { path: "/health", title: "Health", key: "h", icon: HeartPulse },
];

type OpenDialog =
  | { name: "search" }
  | { name: "keys" }
  | { name: "start"; componentId: string | null; form: Partial<StartForm> };

/** What stands around every page: the bar, the badge, the keys, and the dialogs that open from anywhere. */
export function Frame({ children }: { children: ReactNode }) {
  const [location] = useLocation();
  const [dialog, setDialog] = useState<OpenDialog | null>(null);
  const [startRun] = useState(
    () =>
      (componentId: string | null = null, form: Partial<StartForm> = {}) =>
        setDialog({ name: "start", componentId, form }),
  );
  const theme = useTheme();
  const pending = usePendingApprovals();
  useApprovalChanges();
  const close = () => setDialog(null);

  useRereadAfterGaps();
  useKeyboard();
  useKeys("Everywhere", [
    ...PAGES.map((page) => ({ keys: `g ${page.key}`, label: page.title, run: () => navigate(page.path) })),
    { keys: "/", label: "Search or jump to", run: () => setDialog({ name: "search" }) },
    { keys: "n", label: "Start a run", run: () => startRun() },
    { keys: HELP_KEY, label: "All keys", run: () => setDialog({ name: "keys" }) },
  ]);

  const ThemeIcon = theme === "dark" ? Moon : Sun;
  return (
    <StartContext.Provider value={startRun}>
      <button type="button" className="btn skip-link" onClick={focusMain}>
        Skip to the page
      </button>
      <header className="top">
        <Link className="brand" href="/runs">
          <Mark />
          musterd
        </Link>
        <nav className="nav" aria-label="Pages">
          {PAGES.map(({ path, title, icon: Icon }) => (
            <Link key={path} href={path} aria-current={isWithin(location, path) ? "page" : undefined}>
              <Icon className="icon" aria-hidden="true" />
              {title}
              {path === "/approvals" && pending > 0 ? (
                <b className="badge">
                  {pending}
                  <span className="sr-only"> waiting for you</span>
                </b>
              ) : null}
            </Link>
          ))}
        </nav>
        <div className="top-end">
          <button type="button" className="top-search" onClick={() => setDialog({ name: "search" })}>
            <Search className="icon-small" aria-hidden="true" />
            Search or jump to
            <kbd aria-hidden="true">/</kbd>
          </button>
          <ConnectionState />
          <Button
            kind="quiet"
            isIcon
            aria-label={theme === "dark" ? "Light theme" : "Dark theme"}
            onClick={toggleTheme}
          >
            <ThemeIcon className="icon" aria-hidden="true" />
          </Button>
          <AccountMenu />
          <Button kind="primary" onClick={() => startRun()}>
            <Plus className="icon" aria-hidden="true" />
            Start a run
          </Button>
        </div>
      </header>
      <main id="main" tabIndex={-1} className="outline-none">
        <ServerGone />
        <NoticeList />
        {children}
      </main>
      {dialog?.name === "search" ? <SearchDialog onClose={close} /> : null}
      {dialog?.name === "keys" ? <KeyHelp onClose={close} /> : null}
      {dialog?.name === "start" ? (
        <PartErrors
          frame={(problem) => (
            <Dialog title="Start a run" onClose={close}>
              {problem}
            </Dialog>
          )}
        >
          <Suspense>
            <StartRunDialog onClose={close} componentId={dialog.componentId} form={dialog.form} />
          </Suspense>
        </PartErrors>
      ) : null}
    </StartContext.Provider>
  );
}

function isWithin(location: string, path: string): boolean {
  return location === path || location.startsWith(`${path}/`);
}

function focusMain() {
  document.getElementById("main")?.focus();
}

/** How many approvals wait, on every page and in the tab's title. */
function usePendingApprovals(): number {
  const client = useQueryClient();
  const interval = usePollInterval(5_000);
  const connection = useConnection().name;
  const { data = 0 } = useQuery({
    ...pendingApprovalsQuery,
    refetchInterval: interval === false ? 60_000 : interval,
    refetchIntervalInBackground: true, // the title of a hidden tab is where the count is seen
  });
  useFeed({ onCounts: (counts) => client.setQueryData(pendingApprovalsQuery.queryKey, counts.pending_approvals) });
  useEffect(() => {
    if (connection !== "live") return;
    void client.invalidateQueries({ queryKey: pendingApprovalsQuery.queryKey });
    // What could not be read may be there now.
    const unread = { type: "active", predicate: ({ state }) => state.status === "error" } satisfies QueryFilters;
    void client.refetchQueries(unread, { cancelRefetch: false });
  }, [client, connection]);
  useEffect(() => setBadge(data), [data]);
  return data;
}
