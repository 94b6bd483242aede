import { MessagesSquare } from "lucide-react";
import { Link } from "wouter";
import type { ParamChanges } from "../app/hashLocation";
import { Button } from "../shared/Button";
import { Time } from "../shared/Figures";
import { NextPage } from "../shared/NextPage";
import { EmptyState, Unread } from "../shared/PageStates";
import { Dot } from "../shared/Status";
import { STATUS_LABEL, STATUS_TONE } from "../shared/status";
import type { useSessionList } from "./queries";
import { FILTER_STATUSES, type SessionFilter, type SessionItem, sessionPath, unixTime } from "./session";

export interface SessionListProps {
  list: ReturnType<typeof useSessionList>;
  sessions: readonly SessionItem[];
  filter: SessionFilter;
  onFilter: (changes: ParamChanges) => void;
  currentId: string | undefined;
}

export function SessionList({ list, sessions, filter, onFilter, currentId }: SessionListProps) {
  return (
    <>
      <div className="pane-list-head">
        <h1>Sessions</h1>
      </div>
      <div className="grid gap-2 px-5 pb-3">
        <input
          id="find-session"
          type="search"
          className="input"
          placeholder="Find by name or message"
          aria-label="Find sessions by name or first message"
          maxLength={200} // the server's limit
          value={filter.text}
          onChange={(event) => onFilter({ q: event.target.value })}
        />
        <select
          className="select justify-self-start"
          aria-label="Status"
          value={filter.status ?? ""}
          onChange={(event) => onFilter({ status: event.target.value.toLowerCase() })}
        >
          <option value="">Any status</option>
          {FILTER_STATUSES.map((status) => (
            <option key={status} value={status}>
              {STATUS_LABEL[status]}
            </option>
          ))}
        </select>
      </div>
      {list.data === undefined ? <Unread error={list.error} onRetry={() => void list.refetch()} /> : null}
      {list.isSuccess && sessions.length === 0 ? <NoSessions filter={filter} onFilter={onFilter} /> : null}
      <ul>
        {sessions.map((session) => (
          <Item
            key={session.session_id}
            session={session}
            filter={filter}
            isCurrent={session.session_id === currentId}
          />
        ))}
      </ul>
      <NextPage list={list} label="Show older sessions" />
    </>
  );
}

function NoSessions({ filter, onFilter }: Pick<SessionListProps, "filter" | "onFilter">) {
  const { text, status } = filter;
  if (text === "" && status === null) {
    return (
      <EmptyState icon={MessagesSquare} title="No sessions yet">
        A session begins with its first run.
      </EmptyState>
    );
  }
  const sessions = status === null ? "No session" : `No session has the status “${STATUS_LABEL[status]}”`;
  return (
    <EmptyState
      icon={MessagesSquare}
      title={
        text === ""
          ? sessions
          : `${sessions}${status === null ? " has" : " and"} “${text}” in its name or first message`
      }
      actions={<Button onClick={() => onFilter({ q: null, status: null })}>Show all sessions</Button>}
    />
  );
}

function Item({ session, filter, isCurrent }: { session: SessionItem; filter: SessionFilter; isCurrent: boolean }) {
  // A question counts for more than the work that goes on beside it.
  const status = session.waiting > 0 ? "PAUSED" : session.status;
  return (
    <li>
      <Link
        href={sessionPath(session.session_id, filter)}
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
