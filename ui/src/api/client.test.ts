import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { authState, signIn, signOut } from "./auth";
import { ApiError, api, apiUrl } from "./client";

vi.hoisted(() => {
  window.location.href = "https://host.example/prefix/ui/#/runs?state=failed";
});

const fetchMock = vi.fn<typeof fetch>();

beforeEach(() => {
  vi.stubGlobal("fetch", fetchMock);
});

afterEach(() => {
  fetchMock.mockReset();
  vi.unstubAllGlobals();
  signIn("");
});

function answer(status: number, body: unknown, headers: Record<string, string> = {}) {
  fetchMock.mockResolvedValue(new Response(JSON.stringify(body), { status, headers }));
}

test("URLs keep the prefix that the page was served under", () => {
  expect(apiUrl("/runs", { status: ["ERROR", "PAUSED"], q: "a&b", limit: 5, user_id: null })).toBe(
    "https://host.example/prefix/runs?status=ERROR&status=PAUSED&q=a%26b&limit=5",
  );
});

test("the key is sent as a header", async () => {
  signIn("secret");
  answer(200, { ok: true });
  await api.GET("/me");
  const request = fetchMock.mock.calls[0]?.[0] as Request;
  expect(request.url).toBe("https://host.example/prefix/me");
  expect(request.headers.get("Authorization")).toBe("Bearer secret");
});

test("an error has the server's words, code and request id", async () => {
  answer(409, { detail: "Ida approved this.", error_code: "conflict", request_id: "r1" });
  const init = { params: { path: { approval_id: "a" } }, body: { status: "approved" as const } };
  const error: unknown = await api.POST("/approvals/{approval_id}/resolve", init).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ApiError);
  expect(error).toMatchObject({ message: "Ida approved this.", status: 409, code: "conflict", requestId: "r1" });
});

test("invalid fields are named", async () => {
  answer(422, { detail: [{ loc: ["body", "bags"], msg: "Input should be a valid integer" }] });
  await expect(api.GET("/me")).rejects.toThrow("bags: Input should be a valid integer");
});

test("no answer at all", async () => {
  fetchMock.mockRejectedValue(new TypeError("Failed to fetch"));
  await expect(api.GET("/runs")).rejects.toMatchObject({ status: 0, isNetwork: true });
});

/** A request to a server that never answers, and the limits of time that were set. */
function unanswered(request: (signal: AbortSignal) => Promise<unknown>) {
  const limits = new Map<number, AbortController>();
  vi.spyOn(AbortSignal, "timeout").mockImplementation((milliseconds) => {
    const controller = new AbortController();
    limits.set(milliseconds, controller);
    return controller.signal;
  });
  fetchMock.mockImplementation(
    (_request, init) =>
      new Promise((_resolve, reject) => {
        init?.signal?.addEventListener("abort", () => reject(init.signal?.reason));
      }),
  );
  const caller = new AbortController();
  const error = request(caller.signal).catch((reason: unknown) => reason);
  return { caller, error, limits };
}

test("a request that is not answered in time fails", async () => {
  const { error, limits } = unanswered((signal) => api.GET("/runs", { signal }));
  await vi.waitFor(() => expect([...limits.keys()]).toEqual([30_000]));
  limits.get(30_000)?.abort(new DOMException("The time is over.", "TimeoutError"));
  expect(await error).toMatchObject({
    message: "The server has not answered within 30 seconds.",
    code: "network_error",
    isNetwork: true,
  });
});

test("a request that its caller gives up is no failure of the server", async () => {
  const { error, caller, limits } = unanswered((signal) => api.GET("/runs", { signal }));
  await vi.waitFor(() => expect(limits.size).toBe(1));
  caller.abort();
  expect(await error).toMatchObject({ name: "AbortError" });
});

test("an answer that breaks off is a failure of the network", async () => {
  const cut = new ReadableStream({
    start: (controller) => controller.error(new TypeError("network error")),
  });
  fetchMock.mockResolvedValue(new Response(cut, { status: 200 }));
  await expect(api.GET("/runs")).rejects.toMatchObject({ isNetwork: true });
});

test("an answer without a body is one", async () => {
  fetchMock.mockResolvedValue(new Response(null, { status: 204 }));
  const answered = await api.DELETE("/sessions/{session_id}", { params: { path: { session_id: "a" } } });
  expect(answered.response.status).toBe(204);
});

test("a 401 asks for the key, but not if a new one was entered meanwhile", async () => {
  signIn("old");
  fetchMock.mockImplementation(async () => {
    signIn("new");
    return new Response("{}", { status: 401 });
  });
  await api.GET("/runs").catch(() => undefined);
  expect(authState().isRefused).toBe(false);
  answer(401, { detail: "Invalid key" });
  await api.GET("/runs").catch(() => undefined);
  expect(authState()).toEqual({ key: "new", isRefused: true });
  signOut();
  expect(sessionStorage.getItem("musterd.key")).toBeNull();
});
