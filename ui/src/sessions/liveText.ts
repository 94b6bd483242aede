/** The text that a run is writing, from the events of its stream. */
import { useEffect, useState } from "react";
import { segment } from "../api/client";
import { openStream } from "../api/stream";

export interface TextEvent {
  event: string;
  run_id: string;
  content?: unknown;
  superseded?: { run_id: string }[];
}

/** The text after an event: each model call and each step of a workflow starts anew, and text that an attempt or a try
 * left behind is discarded. */
export function nextText(text: string, event: TextEvent, runId: string): string {
  const isRestarted = event.superseded?.some((part) => part.run_id === runId) ?? false;
  if (isRestarted) return "";
  if (event.run_id !== runId) return text;
  if (/(ModelRequestStarted|^StepStarted|^StepError)$/.test(event.event)) return "";
  if (!event.event.endsWith("RunContent") || typeof event.content !== "string") return text;
  return text + event.content;
}

/** Follows the run while it works; "" for null. */
export function useLiveText(runId: string | null): string {
  const [text, setText] = useState("");
  useEffect(() => {
    if (runId === null) return;
    let current = "";
    let frame = 0;
    let isOver = false;
    const stream = openStream({
      path: `/runs/${segment(runId)}/events`,
      onMessage: (message) => {
        const event = JSON.parse(message.data) as TextEvent;
        if (event.run_id === runId && isEnd(event.event)) isOver = true;
        current = nextText(current, event, runId);
        // Deltas arrive faster than the screen: they are shown once per frame.
        frame ||= requestAnimationFrame(() => {
          frame = 0;
          setText(current);
        });
      },
      isOver: () => isOver,
    });
    return () => {
      stream.close();
      cancelAnimationFrame(frame);
      setText("");
    };
  }, [runId]);
  return text;
}

function isEnd(name: string): boolean {
  return /(Run|Workflow)(Completed|Error|Cancelled|Paused)$/.test(name);
}
