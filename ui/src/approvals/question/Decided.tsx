import { Check, Clock, Info, X } from "lucide-react";
import { Time } from "../../shared/Figures";
import { Banner } from "../../shared/PageStates";
import type { Tone } from "../../shared/status";
import { type Approval, type ApprovalStatus, argumentsOf, isPending } from "../approval";
import { isConflict } from "../queries";
import { Arguments } from "./Arguments";
import { decisionNoun } from "./decision";
import type { Question } from "./useQuestion";
import { outcomeOf } from "./wording";

const TONES: Record<ApprovalStatus, Tone> = {
  pending: "wait",
  approved: "ok",
  rejected: "idle",
  expired: "fail",
  cancelled: "idle",
};

const ICONS = { pending: Info, approved: Check, rejected: X, expired: Clock, cancelled: Info };

/** What was decided, by whom and when; and whether that was somebody else's decision. */
export function Decided({ question }: { question: Question }) {
  const { approval, sent, resolve } = question;
  const wasSlower = isConflict(resolve.error) && sent !== null && !agrees(approval, sent.kind);
  const data = approval.resolution_data;
  return (
    <div className="question-stack">
      <div role="status">
        <Banner tone={TONES[approval.status]} icon={ICONS[approval.status]} end={<DecidedAt approval={approval} />}>
          {outcomeOf(approval)}
        </Banner>
        {wasSlower ? <p className="mt-2 text-ink-2">Your {decisionNoun(sent)} was not used.</p> : null}
      </div>
      {data?.note ? <Quote label="Note" text={data.note} /> : null}
      {data?.result ? <Quote label="Result" text={data.result} /> : null}
      <Arguments args={{ ...argumentsOf(approval), ...data?.values }} />
    </div>
  );
}

function DecidedAt({ approval }: { approval: Approval }) {
  if (isPending(approval) || approval.resolved_at === null) return null;
  return (
    <span className="font-normal">
      <Time at={approval.resolved_at} />
    </span>
  );
}

function Quote({ label, text }: { label: string; text: string }) {
  return (
    <div className="said">
      <b>{label}</b> {text}
    </div>
  );
}

function agrees(approval: Approval, kind: string): boolean {
  return approval.status === (kind === "reject" ? "rejected" : "approved");
}
