import { act, cleanup, screen, waitFor } from "@testing-library/preact";
import { afterEach, expect, test, vi } from "vitest";
import { renderChanging } from "../approvals/testing";
import { runStep } from "./fixtures";
import { useReread, useSteps } from "./queries";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

function Steps({ version }: { version: number }) {
  const { data = [] } = useSteps("r1", false);
  useReread("r1", version, 0, undefined);
  return <p>{`${data.length} steps`}</p>;
}

test("changes of a run do not break off the read of its steps, which is made once more after it", async () => {
  vi.useFakeTimers({ shouldAdvanceTime: true });
  const reads: { signal: AbortSignal | undefined; answer: (steps: number) => void }[] = [];
  vi.stubGlobal("fetch", (_request: Request, init?: RequestInit) => {
    return new Promise<Response>((resolve) => {
      const answer = (count: number) => {
        const steps = Array.from({ length: count }, (_, index) => runStep(`t${index}/m`, index, 1));
        resolve(new Response(JSON.stringify(steps)));
      };
      reads.push({ signal: init?.signal ?? undefined, answer });
    });
  });
  const setVersion = renderChanging(1, (version) => <Steps version={version} />);
  await waitFor(() => expect(reads).toHaveLength(1));
  await act(async () => reads[0]?.answer(1));
  await screen.findByText("1 steps");
  await vi.advanceTimersByTimeAsync(1_000);
  expect(reads).toHaveLength(2);
  for (const version of [2, 3]) {
    setVersion(() => version);
    await vi.advanceTimersByTimeAsync(1_000);
  }
  expect(reads).toHaveLength(2);
  expect(reads[1]?.signal?.aborted).toBe(false);
  await act(async () => reads[1]?.answer(2));
  await screen.findByText("2 steps");
  await waitFor(() => expect(reads).toHaveLength(3));
  await act(async () => reads[2]?.answer(3));
  await screen.findByText("3 steps");
  await vi.advanceTimersByTimeAsync(5_000);
  expect(reads).toHaveLength(3);
});
