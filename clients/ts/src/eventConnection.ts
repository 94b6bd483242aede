/** One connection that server-sent events come over. */
import { createEventParser, type ServerSentEvent } from "./eventParser.js";
import { ANSWER_SECONDS, type Requests } from "./requests.js";
import { Failure } from "./retries.js";

/** How often the server sends something at least, by default. A connection that is silent for longer is given up. */
const PING_SECONDS = 15;
const SILENCE_MS = (PING_SECONDS + ANSWER_SECONDS) * 1000;

export class EventConnection {
  readonly #requests: Requests;
  readonly #request: Request;
  readonly #abort = new AbortController();
  readonly #decoder = new TextDecoder();
  readonly #events: ServerSentEvent[] = [];
  readonly #parser = createEventParser((event) => this.#events.push(event));
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;

  constructor(requests: Requests, request: Request) {
    this.#requests = requests;
    this.#request = request;
  }

  /** Connect. The answer is a stream of events if `isEventStream` says so. */
  async open(): Promise<Response | Failure> {
    const outcome = await this.#inTime(() => this.#requests.open(this.#request, this.#abort.signal));
    if (outcome instanceof Response && isEventStream(outcome)) this.#reader = outcome.body?.getReader();
    return outcome;
  }

  /** The next event, or why none will come over this connection. */
  async next(): Promise<ServerSentEvent | Failure> {
    try {
      for (;;) {
        const event = this.#events.shift();
        if (event !== undefined) return event;
        const piece = await this.#inTime(async () => this.#reader?.read());
        if (piece?.value === undefined) return new Failure(new Error("the stream ended"));
        this.#parser.feed(this.#decoder.decode(piece.value, { stream: true }));
      }
    } catch (error) {
      this.#request.signal.throwIfAborted();
      return new Failure(error);
    }
  }

  close(): void {
    this.#abort.abort();
  }

  async #inTime<T>(step: () => Promise<T>): Promise<T> {
    const silence = setTimeout(() => this.#abort.abort(new Error("the server is silent")), SILENCE_MS);
    try {
      return await step();
    } finally {
      clearTimeout(silence);
    }
  }
}

export function isEventStream(answer: Response): boolean {
  return answer.status === 200 && (answer.headers.get("Content-Type") ?? "").startsWith("text/event-stream");
}
