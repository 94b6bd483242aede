/**
 * Server-sent events over fetch (EventSource can send no Authorization header), with resume and backoff.
 *
 * A stream goes on after the last `id:` that it has seen, so nothing is lost or shown twice. It rests while the tab is
 * hidden, because browsers allow six connections per host, and resumes when the tab is shown. While too many other
 * windows have streams, it takes turns: it opens for a moment every few seconds.
 */
import { createEventParser, type ServerSentEvent } from "musterd-client";
import { authHeaders, authState, onAuthChange, reportRefused } from "./auth";
import { type ApiError, apiUrl, errorOf, type Query } from "./client";
import { noteReachable, onReachable } from "./reachable";
import { takePlace } from "./streamSlots";

export type StreamState =
  | { name: "connecting" }
  | { name: "live" }
  | { name: "taking turns" }
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
/** A turn ends once nothing has come for this long, or after its longest time. */
const TURN_QUIET_MS = 250;
const TURN_MS = 1_000;
const TURN_EVERY_MS = 3_000;

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
  let giveBackPlace: (() => void) | null = null;

  const tell = (state: StreamState) => {
    if (state.name === "taking turns" && current === state.name) return;
    current = state.name;
    options.onState?.(state);
  };

  const stop = () => {
    clearTimeout(timer);
    stopWaiting?.();
    controller?.abort();
    controller = null;
    giveBackPlace?.();
    giveBackPlace = null;
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

  const endTurn = () => {
    stop();
    timer = setTimeout(connect, TURN_EVERY_MS);
  };

  const connect = async () => {
    stop();
    const own = new AbortController();
    controller = own;
    if (tries === 0 && current !== "taking turns") tell({ name: "connecting" });
    const giveBack = await takePlace();
    if (controller !== own) return giveBack?.();
    giveBackPlace = giveBack;
    const usedKey = authState().key;
    let silence: ReturnType<typeof setTimeout> | undefined;
    let turn: ReturnType<typeof setTimeout> | undefined;
    let isTurn = false;
    const heard = () => {
      clearTimeout(silence);
      silence = isTurn ? setTimeout(endTurn, TURN_QUIET_MS) : setTimeout(() => own.abort(), SILENCE_MS);
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
      isTurn = giveBack === null;
      if (isTurn) turn = setTimeout(endTurn, TURN_MS);
      heard();
      tell({ name: isTurn ? "taking turns" : "live" });
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
      clearTimeout(turn);
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
