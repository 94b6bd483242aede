import { CircleCheck, CircleDashed, CircleDot, CircleSlash, CircleX, Hand, type LucideIcon } from "lucide-react";
import { STATUS_LABEL, STATUS_TONE, type StatusName, type Tone } from "./status";

const ICON: Record<StatusName, LucideIcon> = {
  PENDING: CircleDashed,
  RUNNING: CircleDot,
  PAUSED: Hand,
  COMPLETED: CircleCheck,
  ERROR: CircleX,
  CANCELLED: CircleSlash,
  CANCELLING: CircleDashed,
};

/** The icon of a status alone; the words must stand near it. */
export function StatusIcon({ status }: { status: StatusName }) {
  const Icon = ICON[status];
  return <Icon className="icon" aria-hidden="true" />;
}

/** Icon and words of a run's status: never colour alone. */
export function Status({ status, label, tone }: { status: StatusName; label?: string; tone?: Tone }) {
  return (
    <span className="status" data-tone={tone ?? STATUS_TONE[status]}>
      <StatusIcon status={status} />
      {label ?? STATUS_LABEL[status]}
    </span>
  );
}

/** A coloured dot; the words must stand near it. */
export function Dot({ tone }: { tone: Tone }) {
  return <i className="dot" data-tone={tone} aria-hidden="true" />;
}
