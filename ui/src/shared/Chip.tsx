import type { ReactNode } from "react";
import { formatCount } from "./format";
import { Dot } from "./Status";
import type { Tone } from "./status";

export interface ChipProps {
  isPressed: boolean;
  onPress: () => void;
  count?: number | null | undefined;
  tone?: Tone | undefined;
  children: ReactNode;
}

/** A filter that is on or off, with how many it would show. Chips stand in `<div className="chips" role="group">`. */
export function Chip({ isPressed, onPress, count, tone, children }: ChipProps) {
  return (
    <button type="button" className="chip" aria-pressed={isPressed} onClick={onPress}>
      {tone ? <Dot tone={tone} /> : null}
      {children}
      {count === null || count === undefined ? null : <b>{formatCount(count)}</b>}
    </button>
  );
}
