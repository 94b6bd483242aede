import type { CSSProperties } from "react";
import { Link } from "wouter";
import { formatCost, formatCount } from "../../shared/format";
import { Dot } from "../../shared/Status";
import type { Tone } from "../../shared/status";
import type { LaneState } from "../spans";
import { type Layout, lanesBetween, laneTitle } from "./layout";

export const LANE_TONE: Record<LaneState, Tone> = {
  running: "run",
  waiting: "wait",
  completed: "ok",
  failed: "fail",
  cancelled: "idle",
  queued: "idle",
};

interface LaneNamesProps {
  layout: Layout;
  visible: { from: number; to: number };
  rootId: string;
}

/** The names beside the bars, with what each member does now and what it has cost. */
export function LaneNames({ layout, visible, rootId }: LaneNamesProps) {
  return (
    <div className="lane-names" style={layout.isPhone ? undefined : { width: layout.namesWidth - 1 }}>
      {lanesBetween(layout, visible.from - 200, visible.to + 200).map(({ lane, top, height }) => {
        const style = {
          top,
          height: layout.isPhone ? undefined : height - 1,
          "--depth": Math.min(lane.depth, 6),
        } as CSSProperties;
        const depth = lane.depth > 1 ? ` is-nested${lane.isLast ? " is-last" : ""}` : "";
        const member = lane.runIds.at(-1) ?? rootId;
        const title = `${laneTitle(lane)}\n${lane.note}`;
        return (
          <Link
            key={lane.key}
            className={`lane-name${depth}`}
            style={style}
            href={`/runs/${encodeURIComponent(rootId)}?view=transcript&member=${encodeURIComponent(member)}`}
            title={lane.tokens === 0 ? title : `${title}\n${formatCount(lane.tokens)} tokens`}
          >
            <span className="lane-title">
              <Dot tone={LANE_TONE[lane.state]} />
              <span className="truncate">
                {lane.name}
                {lane.step === null ? null : <span className="lane-step">{lane.step}</span>}
              </span>
              {lane.cost === null ? null : <span className="numeric">{formatCost(lane.cost)}</span>}
            </span>
            <span className="lane-note truncate" data-state={lane.state}>
              {lane.note}
            </span>
          </Link>
        );
      })}
    </div>
  );
}
