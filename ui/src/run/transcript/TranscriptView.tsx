import { useMemo, useRef, useSyncExternalStore } from "react";
import { CopyButton } from "../../shared/CodeBlock";
import { Time } from "../../shared/Figures";
import { Markdown } from "../../shared/Markdown";
import { EmptyState, Skeleton } from "../../shared/PageStates";
import { Sources } from "../../shared/Sources";
import { Dot } from "../../shared/Status";
import type { RunFeed } from "../live/feed";
import type { RunDetail, RunStep } from "../model/types";
import type { Lane, Spans } from "../spans";
import { LANE_TONE } from "../timeline/LaneNames";
import { VirtualRows } from "../virtual/VirtualRows";
import { type CallFacts, callsOf } from "./calls";
import { EntryTime } from "./EntryTime";
import { EntryView } from "./EntryView";
import { type Row, toRows } from "./rows";

interface TranscriptViewProps {
  run: RunDetail;
  steps: readonly RunStep[];
  spans: Spans;
  feed: RunFeed;
  memberRunId: string | null;
  isFollowing: boolean;
  isLoading: boolean;
  onMember: (runId: string | null) => void;
  onFollow: (isFollowing: boolean) => void;
}

const ESTIMATED_HEIGHT = 64;

/** What every member read, wrote and called, in order. */
export function TranscriptView(props: TranscriptViewProps) {
  const { run, steps, spans, feed, memberRunId, isFollowing, isLoading, onMember, onFollow } = props;
  useSyncExternalStore(feed.subscribe, feed.getVersion); // the text that is being written
  const version = useSyncExternalStore(feed.subscribe, feed.getStepVersion);
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useMemo(() => {
    void version;
    return toRows(feed, run, memberRunId);
  }, [feed, version, run, memberRunId]);
  const names = useMemo(
    () => new Map(run.members.map((member) => [member.run_id, member.name ?? member.component_id])),
    [run.members],
  );
  const laneOfRun = useMemo(() => new Map(spans.lanes.flatMap((lane) => lane.runIds.map((id) => [id, lane]))), [spans]);
  const calls = useMemo(() => callsOf(steps, spans), [steps, spans]);

  const keys = useMemo(() => rows.map((row) => row.key), [rows]);
  const isLive = spans.end === null;
  if (rows.length === 0) {
    return isLoading ? <Skeleton rows={6} /> : <EmptyState title="Nothing was said yet" />;
  }
  return (
    <>
      <MemberFilter run={run} memberRunId={memberRunId} onMember={onMember} />
      <section
        className="transcript"
        ref={scroller}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a list that scrolls must be reachable by keyboard
        tabIndex={0}
        aria-label="Transcript"
      >
        <VirtualRows
          keys={keys}
          estimate={ESTIMATED_HEIGHT}
          scroller={scroller}
          isAtEnd={isLive && isFollowing}
          onReaderScroll={isLive ? onFollow : undefined}
          render={(i) => {
            const row = rows[i];
            return row === undefined ? null : (
              <RowView row={row} lane={laneOfRun.get(row.thread.runId)} names={names} calls={calls} />
            );
          }}
        />
      </section>
    </>
  );
}

interface MemberFilterProps {
  run: RunDetail;
  memberRunId: string | null;
  onMember: (runId: string | null) => void;
}

function MemberFilter({ run, memberRunId, onMember }: MemberFilterProps) {
  if (run.members.length === 0) return null;
  const names = run.members.map((member) => member.name ?? member.component_id);
  return (
    <div className="transcript-head">
      <label>
        <span className="sr-only">Member</span>
        <select className="select" value={memberRunId ?? ""} onChange={(event) => onMember(event.target.value || null)}>
          <option value="">All members</option>
          <option value={run.run_id}>{run.team_name ?? run.agent_name ?? run.workflow_name ?? "The run itself"}</option>
          {run.members.map((member, i) => {
            const name = member.name ?? member.component_id;
            const number = names.slice(0, i + 1).filter((other) => other === name).length;
            const isTwice = names.filter((other) => other === name).length > 1;
            return (
              <option key={member.run_id} value={member.run_id}>
                {isTwice ? `${name} (${number})` : name}
              </option>
            );
          })}
        </select>
      </label>
    </div>
  );
}

interface RowViewProps {
  row: Row;
  lane: Lane | undefined;
  names: ReadonlyMap<string, string>;
  calls: ReadonlyMap<string, CallFacts>;
}

function RowView({ row, lane, names, calls }: RowViewProps) {
  switch (row.kind) {
    case "speaker":
      return (
        <p className="speaker">
          <Dot tone={lane === undefined ? "idle" : LANE_TONE[lane.state]} />
          <b>{row.thread.name}</b>
          <span className="text-meta text-ink-3">
            {row.text === null ? <Time at={row.at} hasSeconds /> : <EntryTime entry={row.text} />}
          </span>
        </p>
      );
    case "task":
      return (
        <div className="task">
          <span className="text-meta text-ink-3">{`From ${row.from}`}</span>
          <p className="whitespace-pre-wrap">{row.text}</p>
        </div>
      );
    case "entry":
      return <EntryView entry={row.entry} isTimed={row.isTimed} members={names} calls={calls} />;
    case "answer":
      return (
        <div className="entry-text">
          <p className="flex items-center gap-2 text-meta text-ink-3">
            Answer
            {row.thread.endedAt === null ? null : <Time at={row.thread.endedAt} hasSeconds />}
            <CopyButton text={row.text} label="Copy the answer" />
          </p>
          <Markdown text={row.text} />
        </div>
      );
    case "sources":
      return <Sources searches={row.thread.searches} />;
  }
}
