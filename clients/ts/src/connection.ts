/** What the calls of a client share: where its server is, and how requests reach it. */
import { type Api, createApi } from "./api.js";
import { isRepeatable, Requests, type SendOptions } from "./requests.js";

const DEFAULT_URL = "http://127.0.0.1:7777";
const RETRY_SECONDS = 30;

export interface ClientOptions {
  /** The server; by default `MUSTERD_URL`, otherwise `http://127.0.0.1:7777`. */
  url?: string;
  /** The server's key, or a token; by default `MUSTERD_TOKEN`. */
  token?: string;
  /** For how many seconds a failing call is retried, by default 30; 0: not at all. */
  retrySeconds?: number;
  /** Sends a request. Set it for certificates, proxies and the like. */
  fetch?: (request: Request, init?: RequestInit) => Promise<Response>;
}

export class Connection {
  /** The operations that the client calls, which may all be sent twice. */
  readonly api: Api;
  readonly requests: Requests;
  readonly #url: string;
  readonly #headers: Record<string, string>;

  /** @throws TypeError the URL is not one of HTTP. */
  constructor(options: ClientOptions) {
    this.#url = checkedUrl(options.url ?? environment("MUSTERD_URL") ?? DEFAULT_URL);
    const token = options.token ?? environment("MUSTERD_TOKEN");
    this.#headers = token ? { Authorization: `Bearer ${token}` } : {};
    const fetch = options.fetch ?? ((request, init) => globalThis.fetch(request, init));
    this.requests = new Requests(fetch, options.retrySeconds ?? RETRY_SECONDS);
    this.api = this.#apiOver((request) => this.requests.json(request));
  }

  /** All operations. Some must not be sent twice, and some have the server work for long before it answers. */
  anyOperation(): Api {
    const answerSeconds = Number.POSITIVE_INFINITY;
    return this.#apiOver((request) =>
      this.requests.answer(request, { answerSeconds, isRepeatable: isRepeatable(request) }),
    );
  }

  /** Sends the requests of one call with options of its own. */
  sending(options: SendOptions): (request: Request) => Promise<Response> {
    return (request) => this.requests.json(request, options);
  }

  /** The request for the events of a run after an index. */
  eventsRequest(runId: string, after: number, signal?: AbortSignal): Request {
    const headers = { ...this.#headers, Accept: "text/event-stream", "Last-Event-ID": String(after) };
    const url = `${this.#url}/runs/${encodeURIComponent(runId)}/events`;
    return new Request(url, { headers, cache: "no-store", signal: signal ?? null });
  }

  #apiOver(fetch: (request: Request) => Promise<Response>): Api {
    return createApi({ url: this.#url, headers: this.#headers, fetch });
  }
}

function checkedUrl(url: string): string {
  // Not named in the error: it may have a password.
  if (!/^https?:$/.test(new URL(url).protocol)) throw new TypeError("this is not the URL of a server");
  return url.replace(/\/+$/, "");
}

/** A variable of the process; browsers have none. */
function environment(name: string): string | undefined {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  return process?.env?.[name] || undefined;
}
