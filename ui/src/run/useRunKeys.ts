import { type KeyBinding, useKeys } from "../shared/keyboard";
import type { Move } from "./stepKey";

export type ViewName = "timeline" | "transcript" | "events";

export interface RunKeyActions {
  view: ViewName;
  hasSelection: boolean;
  move: (move: Move) => void;
  open: () => void;
  close: () => void;
  show: (view: ViewName) => void;
  toggleFollow: () => void;
  togglePause: () => void;
  toggleOnly: (only: "failed" | "waiting") => void;
  toggleFolds: () => void;
  copyLink: () => void;
  zoom: (factor: number | null) => void;
}

/** The keys of the Run page. */
export function useRunKeys(actions: RunKeyActions): void {
  const isTimeline = actions.view === "timeline";
  const timeline = (keys: string, label: string, run: () => void): KeyBinding => ({
    keys,
    label,
    run,
    isDisabled: !isTimeline,
  });
  // A transcript is read as a whole.
  const filters: KeyBinding[] = [
    { keys: "x", label: "Only failed", run: () => actions.toggleOnly("failed") },
    { keys: "w", label: "Only questions", run: () => actions.toggleOnly("waiting") },
  ];
  useKeys("Run", [
    timeline("ArrowLeft", "Step before", () => actions.move("before")),
    timeline("ArrowRight", "Step after", () => actions.move("after")),
    timeline("ArrowUp", "Member above", () => actions.move("up")),
    timeline("ArrowDown", "Member below", () => actions.move("down")),
    timeline("Enter", "Open the step", actions.open),
    { keys: "Escape", label: "Close the step", run: actions.close, isDisabled: !actions.hasSelection },
    { keys: "1", label: "Timeline", run: () => actions.show("timeline") },
    { keys: "2", label: "Transcript", run: () => actions.show("transcript") },
    { keys: "3", label: "Events", run: () => actions.show("events") },
    { keys: "f", label: "Follow", run: actions.toggleFollow },
    { keys: "p", label: "Pause updates", run: actions.togglePause },
    ...(actions.view === "transcript" ? [] : filters),
    timeline("e", "Fold idle time", actions.toggleFolds),
    timeline("+", "Zoom in", () => actions.zoom(1 / 1.6)),
    timeline("-", "Zoom out", () => actions.zoom(1.6)),
    timeline("0", "Show the whole run", () => actions.zoom(null)),
    { keys: "c", label: "Copy the link", run: actions.copyLink },
  ]);
}
