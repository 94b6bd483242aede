import { Check, Clock, Info, X } from "lucide-react";
import { Time } from "../../shared/Figures";
import { Banner } from "../../shared/PageStates";
import type { Tone } from "../../shared/status";
import { type Approval, type ApprovalStatus, decidedArgumentsOf, isPending, replacedValues } from "../approval";
import { Arguments } from "./Arguments";
import { agrees, type Decision, resolveBody, unusedText } from "./decision";
import type { Question } from "./useQuestion";
import { argumentText, outcomeOf } from "./wording";

const TONES: Record<ApprovalStatus, Tone> = {
  pending: "wait",
  approved: "ok",
  rejected: "idle",
  expired: "fail",
  cancelled: "idle",
};

const ICONS = { pending: Info, approved: Check, rejected: X, expired: Clock, cancelled: Info };

/** What was decided, by whom and when; and what was not used of what was sent or typed here. */
export function Decided({ question }: { question: Question }) {
  const { approval, sent, error } = question;
  const slower = error !== null && sent !== null && !agrees(approval, sent) ? sent : null;
  const unused = slower ?? (sent === null ? typedIn(question) : null);
  const data = approval.resolution_data;
  return (
    <div className="question-stack">
      <div role="status">
        <Banner tone={TONES[approval.status]} icon={ICONS[approval.status]} end={<DecidedAt approval={approval} />}>
          {outcomeOf(approval)}
        </Banner>
        {slower ? <p className="mt-2 text-ink-2">{unusedText(approval, slower)}</p> : null}
      </div>
      <Quote label="Note" text={data?.note} />
      <Quote label="Result" text={data?.result} />
      {unused ? <Unused decision={unused} /> : null}
      <Arguments args={decidedArgumentsOf(approval)} replaced={replacedValues(approval)} />
    </div>
  );
}

/** A text that was typed, and not sent. */
function typedIn({ note, result }: Question): Decision {
  return note ? { kind: "reject", note } : { kind: "result", result };
}

function Unused({ decision }: { decision: Decision }) {
  const { note, result, values = {} } = resolveBody(decision).resolution_data ?? {};
  const texts = Object.entries(values).map(([name, value]) => `${name}: ${argumentText(value)}`);
  return (
    <>
      <Quote label="Your note" text={note} />
      <Quote label="Your result" text={result} />
      <Quote label="Your values" text={texts.join(", ")} />
    </>
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

function Quote({ label, text }: { label: string; text: string | undefined }) {
  return text ? (
    <div className="said">
      <b>{label}</b> {text}
    </div>
  ) : null;
}
