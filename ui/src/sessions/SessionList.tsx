import { MessagesSquare } from "lucide-react";
import { Link } from "wouter";
import { Button } from "../shared/Button";
import { Time } from "../shared/Figures";
import { EmptyState, ErrorState, Skeleton } from "../shared/PageStates";
import { Dot } from "../shared/Status";
import { STATUS_LABEL, STATUS_TONE } from "../shared/status";
import type { useSessionList } from "./queries";
import { type SessionItem, sessionPath, unixTime } from "./session";

export interface SessionListProps {
  list: ReturnType<typeof useSessionList>;
  sessions: readonly SessionItem[];
  name: string;
  setName: (name: string) => void;
  currentId: string | undefined;
}

export function SessionList({ list, sessions, name, setName, currentId }: SessionListProps) {
  return (
    <>
      <div className="pane-list-head">
        <h1>Sessions</h1>
      </div>
      <div className="px-5 pb-3">
        <input
          id="find-session"
          type="search"
          className="input"
          placeholder="Find by name or message"
          aria-label="Find sessions by name or first message"
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
      </div>
      {list.data === undefined ? (
        list.error ? (
          <ErrorState error={list.error} onRetry={() => void list.refetch()} />
        ) : (
          <Skeleton />
        )
      ) : null}
      {list.isSuccess && sessions.length === 0 ? <NoSessions name={name} setName={setName} /> : null}
      <ul>
        {sessions.map((session) => (
          <Item key={session.session_id} session={session} name={name} isCurrent={session.session_id === currentId} />
        ))}
      </ul>
      {list.hasNextPage ? (
        <div className="p-3 text-center">
          <Button kind="quiet" disabled={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
            Show older sessions
          </Button>
        </div>
      ) : null}
    </>
  );
}

function NoSessions({ name, setName }: { name: string; setName: (name: string) => void }) {
  if (name === "") {
    return (
      <EmptyState icon={MessagesSquare} title="No sessions yet">
        A session begins with its first run.
      </EmptyState>
    );
  }
  return (
    <EmptyState
      icon={MessagesSquare}
      title={`No session has “${name}” in its name or first message`}
      actions={<Button onClick={() => setName("")}>Clear the search</Button>}
    />
  );
}

function Item({ session, name, isCurrent }: { session: SessionItem; name: string; isCurrent: boolean }) {
  const { status } = session;
  return (
    <li>
      <Link
        href={sessionPath(session.session_id, name)}
        className="list-item"
        aria-current={isCurrent ? "true" : undefined}
      >
        <span className="flex items-center gap-2">
          <Dot tone={status ? STATUS_TONE[status] : "idle"} />
          <b className="truncate font-semibold">{session.session_name || "Untitled"}</b>
        </span>
        <span className="item-meta truncate pl-[15px]">
          {session.component_name ? `${session.component_name} · ` : ""}
          <Time at={unixTime(session.updated_at)} />
          {status && status !== "COMPLETED" ? ` · ${STATUS_LABEL[status]}` : ""}
        </span>
      </Link>
    </li>
  );
}
