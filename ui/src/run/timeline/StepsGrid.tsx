import { memo } from "react";
import { serverNow } from "../../api/serverClock";
import { formatDuration, plural } from "../../shared/format";
import type { Span, Spans } from "../spans";
import type { Placed } from "../stepKey";
import { spanDescription, spanTitle } from "./describe";

/** How many steps before and after the current one are in the document. */
const AROUND = 8;

interface StepsGridProps {
  spans: Spans;
  current: Placed | null;
  isShown: (span: Span) => boolean;
  onOpen: () => void;
}

/** The bars as a grid for keyboard and screen reader: a row for each member, a cell for each step. Arrows walk it. */
export const StepsGrid = memo(function StepsGrid({ spans, current, isShown, onOpen }: StepsGridProps) {
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: a screen reader clicks the cell that arrows have reached
    // biome-ignore lint/a11y/useSemanticElements: the grid mirrors a canvas; it is no table
    <div
      role="grid"
      className="steps-grid"
      tabIndex={0}
      aria-label="Steps by member"
      aria-rowcount={spans.lanes.length}
      aria-activedescendant={current === null ? undefined : cellId(current)}
      onClick={onOpen}
    >
      {spans.lanes.map((lane, row) => {
        const list = lane.spans.filter(isShown);
        const position = current?.lane.key === lane.key ? list.findIndex((span) => span.id === current.span.id) : -1;
        const from = Math.max(0, position - AROUND);
        const cells = position < 0 ? [] : list.slice(from, position + AROUND + 1);
        return (
          // biome-ignore lint/a11y/useSemanticElements lint/a11y/useFocusableInteractive: see above; the grid has the focus
          <div key={lane.key} role="row" aria-rowindex={row + 1}>
            {/* biome-ignore lint/a11y/useSemanticElements lint/a11y/useFocusableInteractive: see above */}
            <span role="rowheader">{`${lane.name}, ${lane.state}, ${plural(list.length, "step")}. ${lane.note}`}</span>
            {cells.map((span, i) => (
              // biome-ignore lint/a11y/useSemanticElements lint/a11y/useFocusableInteractive: see above
              <span
                key={span.id}
                role="gridcell"
                id={cellId({ lane, span })}
                aria-colindex={from + i + 2}
                aria-selected={span.id === current?.span.id}
              >
                {`${spanTitle(span)}: ${spanDescription(span, serverNow())}, ${formatDuration(span.start - spans.start)} after the start`}
              </span>
            ))}
          </div>
        );
      })}
    </div>
  );
});

function cellId({ lane, span }: Placed): string {
  return `step-${encodeURIComponent(`${lane.key} ${span.id}`)}`;
}
