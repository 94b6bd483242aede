/**
 * The stream of a run's events, which continues across restarts and fail-overs of the server.
 *
 * The server stores an event before it sends it, under an index that increases within the run. So the client goes on
 * after the last index that it has seen, on whichever process answers, and leaves out what it has seen already.
 */
import { sleep } from "./clock.js";
import { errorOf } from "./errors.js";
import { EventConnection, isEventStream } from "./eventConnection.js";
import type { Requests } from "./requests.js";
import { Failure } from "./retries.js";
import type { RunEvent, RunEventsPage } from "./types.js";

const NO_CONTENT = 204;
const FINAL_EVENTS = /^(Run|TeamRun|Workflow)(Completed|Error|Cancelled)$/;
const PAUSE_EVENTS = /^(Run|TeamRun|Workflow)Paused$/;

/** The events of one run. */
export interface EventSource {
  runId: string;
  /** The request for the stream of the events after an index. */
  request: (after: number) => Request;
  /** The stored events after an index, at most one. */
  page: (after: number) => Promise<RunEventsPage>;
}

/** Each event of a run after an index once, until the run finishes or pauses. */
export async function* runEvents(
  requests: Requests,
  source: EventSource,
  first: number,
): AsyncGenerator<RunEvent, void, undefined> {
  const retries = requests.retries();
  let after = first;
  let last: RunEvent | null = null;
  for (;;) {
    const request = source.request(after);
    const connection = new EventConnection(requests, request);
    try {
      let outcome = await connection.open();
      if (outcome instanceof Response && outcome.ok) {
        if (outcome.status === NO_CONTENT) return; // all was read of a run that has finished
        if (!isEventStream(outcome)) {
          throw await errorOf(request, outcome, "The answer is no stream of events. Is this a musterd server's URL?");
        }
        retries.noteAnswer();
        for (;;) {
          const received = await connection.next();
          if (received instanceof Failure) {
            outcome = received;
            break;
          }
          const event = JSON.parse(received.data) as RunEvent;
          if (event.event_index <= after) continue;
          retries.noteProgress();
          last = event;
          after = event.event_index;
          yield event;
        }
        if (last !== null && (await isEnd(source, last))) return;
      }
      // The server stopped, or the connection broke.
      await sleep(await retries.waitSeconds(request, outcome), request.signal);
    } finally {
      connection.close();
    }
  }
}

/** Whether the run has finished or paused with an event, after which a connection ended. */
async function isEnd(source: EventSource, event: RunEvent): Promise<boolean> {
  // The caller may name the run by an id of the caller's own: then it is the root.
  if ((event.run_id ?? event.workflow_run_id) !== source.runId && event.nested_depth > 0) return false;
  if (!PAUSE_EVENTS.test(event.event)) return FINAL_EVENTS.test(event.event);
  // The pause may be an old one: the stream goes on after a decision, and it may have ended here for another reason.
  const page = await source.page(event.event_index);
  return page.status === "PAUSED" && page.events.length === 0;
}
