/** Renders a page against answers of a server that a test writes down. */
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, fireEvent, render } from "@testing-library/preact";
import { type ReactNode, useState } from "react";
import { vi } from "vitest";
import { Router } from "wouter";
import { parseExact } from "../api/exactJson";
import { useHashLocation, useHashSearch } from "../app/hashLocation";
import { useKeyboard } from "../shared/keyboard";

export interface SentRequest {
  method: string;
  path: string;
  query: URLSearchParams;
  body: unknown;
  headers: Headers;
}

export interface FakeAnswer {
  status?: number;
  body?: unknown;
}

/** Answers by "METHOD /path"; a function reads the request. A path without an answer is a 404. */
export type Answers = Record<string, unknown | ((request: SentRequest) => FakeAnswer)>;

export function fakeServer(answers: Answers): SentRequest[] {
  const requests: SentRequest[] = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    const url = new URL(request.url);
    const { method, headers } = request;
    const text = await request.text();
    const sent: SentRequest = {
      method,
      path: decodeURIComponent(url.pathname),
      query: url.searchParams,
      body: text === "" ? undefined : parseExact(text),
      headers,
    };
    requests.push(sent);
    const answer = answers[`${method} ${sent.path}`];
    const { status = 200, body: content } =
      typeof answer === "function" ? (answer as (request: SentRequest) => FakeAnswer)(sent) : asAnswer(answer);
    return new Response(content === undefined ? null : JSON.stringify(content), { status });
  });
  return requests;
}

function asAnswer(answer: unknown): FakeAnswer {
  return answer === undefined ? { status: 404, body: { detail: "Not Found" } } : { body: answer };
}

export function renderPage(page: ReactNode, hash = "#/") {
  window.location.hash = hash;
  const client = new QueryClient({ defaultOptions: { queries: { retry: false }, mutations: { retry: false } } });
  return render(
    <QueryClientProvider client={client}>
      <Router hook={useHashLocation} searchHook={useHashSearch}>
        <Keys />
        {page}
      </Router>
    </QueryClientProvider>,
  );
}

type Change<Value> = (next: (before: Value) => Value) => void;

/** Renders what `draw` makes of a value; what is returned changes the value. */
export function renderChanging<Value>(first: Value, draw: (value: Value) => ReactNode): Change<Value> {
  let set: Change<Value> | undefined;
  const onSetter = (setter: Change<Value>) => {
    set = setter;
  };
  renderPage(<Changing first={first} draw={draw} onSetter={onSetter} />);
  return (next) => void act(() => set?.(next));
}

interface ChangingProps<Value> {
  first: Value;
  draw: (value: Value) => ReactNode;
  onSetter: (setter: Change<Value>) => void;
}

function Changing<Value>({ first, draw, onSetter }: ChangingProps<Value>) {
  const [value, setValue] = useState(first);
  onSetter(setValue);
  return draw(value);
}

function Keys() {
  useKeyboard();
  return null;
}

/** Presses a key once the effects of the last render have run, which register keys: Preact runs them after a frame. */
export async function press(key: string, init: KeyboardEventInit = {}): Promise<void> {
  await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  fireEvent.keyDown(window, { key, ...init });
}
