/**
 * Server-sent events over fetch (EventSource can send no Authorization header), with resume and backoff.
 *
 * A stream goes on after the last `id:` that it has seen, so nothing is lost or shown twice. It rests while the tab is
 * hidden, because browsers allow six connections per host, and resumes when the tab is shown.
 */
import { createEventParser, type ServerSentEvent } from "musterd-client";
import { authHeaders, authState, onAuthChange, reportRefused } from "./auth";
import { type ApiError, apiUrl, errorOf, type Query } from "./client";
import { noteReachable, onReachable } from "./reachable";

export type StreamState =
  | { name: "connecting" }
  | { name: "live" }
  | { name: "reconnecting"; since: number; tries: number }
  | { name: "hidden" }
  | { name: "ended" }
  | { name: "failed"; error: ApiError };

export interface StreamOptions {
  path: string;
  query?: Query;
  /** Resume after this id. */
  lastEventId?: string | null;
  onMessage: (message: ServerSentEvent) => void;
  onState?: (state: StreamState) => void;
  /** Whether a stream that the server closed is over (as after a run's last event); otherwise it is opened again. */
  isOver?: () => boolean;
  /** Keep the connection while the tab is hidden. */
  keepHidden?: boolean;
}

export interface Stream {
  close: () => void;
}

const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 15_000;
const HIDDEN_GRACE_MS = 30_000;
/** The server pings more often than this; a connection that is silent for longer is dead. */
const SILENCE_MS = 60_000;

export function retryDelay(tries: number, random: () => number = Math.random): number {
  return Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.max(0, tries - 1)) * (0.75 + random() / 2);
}

export function openStream(options: StreamOptions): Stream {
  let lastEventId = options.lastEventId ?? null;
  let controller: AbortController | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let hideTimer: ReturnType<typeof setTimeout> | undefined;
  let stopWaiting: (() => void) | undefined;
  let tries = 0;
  let lostAt = 0;
  let isClosed = false;
  let current: StreamState["name"] | null = null;

  const tell = (state: StreamState) => {
    current = state.name;
    options.onState?.(state);
  };

  const stop = () => {
    clearTimeout(timer);
    stopWaiting?.();
    controller?.abort();
    controller = null;
  };

  /** @param isRefused the server answered, but not with the stream: only time helps. */
  const retry = (isRefused = false) => {
    if (isClosed || current === "hidden") return;
    tries += 1;
    lostAt ||= Date.now();
    tell({ name: "reconnecting", since: lostAt, tries });
    timer = setTimeout(connect, retryDelay(tries));
    if (!isRefused) stopWaiting = onReachable(() => void connect());
  };

  const finish = (state: StreamState) => {
    stop();
    tell(state);
  };

  const connect = async () => {
    stop();
    const own = new AbortController();
    controller = own;
    if (tries === 0) tell({ name: "connecting" });
    const usedKey = authState().key;
    let silence: ReturnType<typeof setTimeout> | undefined;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => own.abort(), SILENCE_MS);
    };
    try {
      heard();
      const response = await fetch(apiUrl(options.path, options.query), {
        headers: {
          Accept: "text/event-stream",
          ...authHeaders(),
          ...(lastEventId === null ? {} : { "Last-Event-ID": lastEventId }),
        },
        cache: "no-store",
        credentials: "same-origin",
        signal: own.signal,
      });
      if (!response.ok || !response.body) {
        const error = await errorOf(response);
        if (controller !== own) return;
        if (response.status === 401) reportRefused(usedKey); // signing in connects again
        if (response.status < 500 && response.status !== 429 && response.status !== 408) {
          return finish({ name: "failed", error });
        }
        return retry(response.status < 500);
      }
      const parser = createEventParser((message) => {
        if (message.id !== undefined) lastEventId = message.id;
        options.onMessage(message);
      });
      tries = 0;
      lostAt = 0;
      tell({ name: "live" });
      noteReachable();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (controller !== own) return;
        if (done) break;
        heard();
        parser.feed(value);
      }
      if (options.isOver?.()) return finish({ name: "ended" });
      retry();
    } catch {
      if (controller === own) retry();
    } finally {
      clearTimeout(silence);
    }
  };

  const restart = () => {
    if (isClosed || current === "ended") return;
    tries = 0;
    void connect();
  };

  const onVisibility = () => {
    clearTimeout(hideTimer);
    if (document.hidden) {
      hideTimer = setTimeout(() => {
        if (current !== "ended" && current !== "failed") finish({ name: "hidden" });
      }, HIDDEN_GRACE_MS);
    } else if (current === "hidden") restart();
  };
  const onOnline = () => {
    if (current === "reconnecting") restart();
  };
  const stopAuth = onAuthChange(() => {
    if (!authState().isRefused) restart();
  });
  if (!options.keepHidden) document.addEventListener("visibilitychange", onVisibility);
  window.addEventListener("online", onOnline);
  void connect();

  return {
    close: () => {
      isClosed = true;
      stop();
      clearTimeout(hideTimer);
      stopAuth();
      document.removeEventListener("visibilitychange", onVisibility);
      window.removeEventListener("online", onOnline);
    },
  };
}
