/**
 * The feed of changes over all runs (`GET /runs/changes`): one stream for the tab, shared by all pages.
 *
 * On a server without it, while a connection is refused, or while many windows share the connections of the browser, the
 * state is `polling`: pages then ask every few seconds.
 */
import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import { noteServerTime } from "./serverClock";
import { openStream, type Stream, type StreamState } from "./stream";
import type { FeedApproval, FeedCounts, FeedHello, RunSummary } from "./types";

export interface FeedHandlers {
  /** Not all changes until now were or will be told: what was read before must be read again. */
  onGap?: () => void;
  onRun?: (run: RunSummary) => void;
  onApproval?: (approval: FeedApproval) => void;
  onCounts?: (counts: FeedCounts) => void;
}

export type ConnectionName = "connecting" | "live" | "reconnecting" | "polling";
export interface Connection {
  name: ConnectionName;
  /** When the connection was lost (milliseconds), while it is. */
  since: number | null;
  /** When the last message or ping-free connection was seen (milliseconds). */
  lastMessageAt: number | null;
  /** The version of the server that the page is connected to. */
  version: string | null;
  /** A server with another version than the one that served this page has answered. */
  isNewer: boolean;
}

const handlers = new Set<FeedHandlers>();
const listeners = new Set<() => void>();
let connection: Connection = {
  name: "connecting",
  since: null,
  lastMessageAt: null,
  version: null,
  isNewer: false,
};
let stream: Stream | null = null;
/** Whether the feed has begun: what changes from then on is told. */
let hasBegun = false;

function update(change: Partial<Connection>): void {
  connection = { ...connection, ...change };
  for (const listener of listeners) listener();
}

function onState(state: StreamState): void {
  if (state.name === "live") update({ name: "live", since: null });
  else if (state.name === "reconnecting") update({ name: "reconnecting", since: state.since });
  else if (state.name === "failed" || state.name === "taking turns") update({ name: "polling", since: null });
  else if (state.name === "connecting" || state.name === "hidden") update({ name: "connecting", since: null });
}

function onMessage(event: string | undefined, data: string): void {
  connection = { ...connection, lastMessageAt: Date.now() }; // no render: only shown once the connection is lost
  if (event === "run") for (const handler of handlers) handler.onRun?.(JSON.parse(data) as RunSummary);
  else if (event === "approval") for (const handler of handlers) handler.onApproval?.(JSON.parse(data) as FeedApproval);
  else if (event === "counts") for (const handler of handlers) handler.onCounts?.(JSON.parse(data) as FeedCounts);
  else if (event === "hello") {
    const hello = JSON.parse(data) as FeedHello;
    noteServerTime(hello.now);
    const isNewer = connection.version !== null && connection.version !== hello.version;
    update({ version: connection.version ?? hello.version, isNewer });
    const isGap = !hasBegun || hello.is_complete === false;
    hasBegun = true;
    if (isGap) for (const handler of handlers) handler.onGap?.();
  }
}

/** Open the feed, once, for as long as the page lives. */
export function startFeed(): () => void {
  stream ??= openStream({
    path: "/runs/changes",
    onState,
    onMessage: (message) => onMessage(message.event, message.data),
  });
  return () => {
    stream?.close();
    stream = null;
    hasBegun = false;
  };
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useConnection(): Connection {
  return useSyncExternalStore(subscribe, () => connection);
}

/** A restart takes less. */
const GONE_MS = 20_000;

/** Since when the server has not answered (milliseconds), once it is too long for a restart; otherwise null. */
export function useGoneSince(): number | null {
  const { since } = useConnection();
  const [isLong, setLong] = useState(false);
  useEffect(() => {
    setLong(false);
    if (since === null) return;
    const timer = setTimeout(() => setLong(true), Math.max(0, since + GONE_MS - Date.now()));
    return () => clearTimeout(timer);
  }, [since]);
  return isLong ? since : null;
}

/** Call the handlers for each message of the feed while the component is mounted. */
export function useFeed(current: FeedHandlers): void {
  const latest = useRef(current);
  latest.current = current;
  useEffect(() => {
    const own: FeedHandlers = {
      onGap: () => latest.current.onGap?.(),
      onRun: (run) => latest.current.onRun?.(run),
      onApproval: (approval) => latest.current.onApproval?.(approval),
      onCounts: (counts) => latest.current.onCounts?.(counts),
    };
    handlers.add(own);
    return () => {
      handlers.delete(own);
    };
  }, []);
}

/** How often a page that shows changing data has to ask by itself: never while the feed is live. */
export function usePollInterval(milliseconds: number): number | false {
  return useConnection().name === "live" ? false : milliseconds;
}
