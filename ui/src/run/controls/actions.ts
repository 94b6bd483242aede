/** What a reader can do with a run. Each request has a key of its own, so that sending it twice does it once. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { ApiError, request, segment, send } from "../../api/client";
import { navigate } from "../../app/hashLocation";
import { componentOf, isFinal, type RunDetail } from "../model/types";
import { runKey } from "../queries";

interface Receipt {
  run_id: string;
  session_id: string;
  status: string;
}

/** Also without HTTPS, where the browser has no `randomUUID`. */
function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function post<T>(path: string, json: unknown = {}): Promise<T> {
  return request<T>(path, { method: "POST", json, headers: { "Idempotency-Key": newKey() } });
}

function reportNotCancelled(error: unknown): never {
  if (!(error instanceof ApiError)) throw error;
  const cure = error.isNetwork ? " The run goes on. Cancel it again once the page is connected." : "";
  throw new ApiError(`The run was not cancelled. ${error.message}${cure}`, error.status, error.code, error.requestId);
}

export function useRunActions(run: RunDetail) {
  const client = useQueryClient();
  const path = `/runs/${segment(run.run_id)}`;
  const reread = () => client.invalidateQueries({ queryKey: runKey(run.run_id) });
  const open = (receipt: Receipt) => navigate(`/runs/${segment(receipt.run_id)}`);
  const { kind, id } = componentOf(run);

  const cancel = useMutation({
    mutationFn: () => post<Receipt>(`${path}/cancel`).catch(reportNotCancelled),
    onSettled: reread,
  });
  const { reset: forgetCancel } = cancel;
  const isOver = isFinal(run.status);
  useEffect(() => {
    if (isOver) forgetCancel(); // a cancel that failed is of no interest once the run has finished
  }, [isOver, forgetCancel]);

  return {
    cancel,
    message: useMutation({
      mutationFn: (message: { text: string; memberRunId: string | null }) =>
        post(`${path}/messages`, {
          message: message.text,
          ...(message.memberRunId === null ? {} : { member_run_id: message.memberRunId }),
        }),
    }),
    rerun: useMutation({ mutationFn: () => post<Receipt>(`${path}/rerun`), onSuccess: open }),
    resume: useMutation({
      mutationFn: () => post<Receipt>(`${path}/continue`, { session_id: run.session_id, background: true }),
      onSuccess: (receipt) => Promise.all([open(receipt), reread()]),
    }),
    /** Forks the run from the turn of a step. */
    forkFrom: useMutation({
      mutationFn: (step: string) =>
        post<Receipt>(`${path}/continue`, { session_id: run.session_id, background: true, from_step: step }),
      onSuccess: (receipt) => Promise.all([open(receipt), reread()]),
    }),
    fork: useMutation({
      mutationFn: () =>
        post<{ session_id: string }>(`/${kind}s/${segment(id)}/sessions/${segment(run.session_id)}/fork`),
      onSuccess: (forked) => navigate(`/sessions/${segment(forked.session_id)}`),
    }),
    export: useMutation({ mutationFn: () => download(run.run_id) }),
  };
}

async function download(runId: string): Promise<void> {
  const response = await send(`/runs/${segment(runId)}/export`);
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = `run-${runId.replace(/[^\w-]+/g, "_").slice(0, 60)}.json`;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
