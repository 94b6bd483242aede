/** The texts that the runs of a session are writing, from the one stream of the session. */
import { useEffect, useState, useSyncExternalStore } from "react";
import { segment } from "../api/client";
import { openStream } from "../api/stream";
import { createFrameQueue } from "../run/live/frameQueue";

export interface TextEvent {
  event: string;
  run_id: string;
  /** 0 for a root run. */
  nested_depth?: number;
  content?: unknown;
  superseded?: { run_id: string }[];
}

/** The texts of root runs by their ids. */
export class LiveTexts {
  private readonly texts = new Map<string, string>();
  private readonly listeners = new Set<() => void>();

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };

  /** "" while there is none. */
  of(runId: string): string {
    return this.texts.get(runId) ?? "";
  }

  apply(events: readonly TextEvent[]): void {
    for (const event of events) {
      // Text that an attempt or a try left behind is discarded.
      for (const part of event.superseded ?? []) this.texts.delete(part.run_id);
      if (event.nested_depth === 0) this.texts.set(event.run_id, nextText(this.of(event.run_id), event));
    }
    this.notify();
  }

  clear(): void {
    this.texts.clear();
    this.notify();
  }

  private notify(): void {
    for (const listener of this.listeners) listener();
  }
}

/** The text after an event of its run: each model call and each step of a workflow starts anew. */
function nextText(text: string, { event, content }: TextEvent): string {
  if (/(ModelRequestStarted|^StepStarted|^StepError)$/.test(event)) return "";
  return event.endsWith("RunContent") && typeof content === "string" ? text + content : text;
}

/**
 * Follows all runs of the session by one stream: browsers allow six connections per host.
 *
 * @param isNeeded whether a run of it is at work.
 */
export function useLiveTexts(sessionId: string, isNeeded: boolean): LiveTexts {
  const [texts] = useState(() => new LiveTexts());
  useEffect(() => {
    if (!isNeeded) return;
    // Deltas arrive faster than the screen: they are shown once per frame.
    const queue = createFrameQueue<TextEvent>((events) => texts.apply(events));
    const stream = openStream({
      path: `/sessions/${segment(sessionId)}/events`,
      onMessage: (message) => queue.push(JSON.parse(message.data) as TextEvent),
    });
    return () => {
      stream.close();
      queue.close();
      texts.clear();
    };
  }, [texts, sessionId, isNeeded]);
  return texts;
}

/** The text of one run, as far as it has arrived. */
export function useLiveText(texts: LiveTexts, runId: string): string {
  return useSyncExternalStore(texts.subscribe, () => texts.of(runId));
}
