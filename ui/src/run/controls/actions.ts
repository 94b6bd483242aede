/** What a reader can do with a run. Each request has a key of its own, so that sending it twice does it once. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { dataOf, newKey, type RunReceipt, type Schemas } from "musterd-client";
import { useEffect } from "react";
import { ApiError, api, fileApi, segment } from "../../api/client";
import { forkSession } from "../../api/components";
import { navigate } from "../../app/hashLocation";
import { componentOf, isFinal, type RunDetail } from "../model/types";
import { runKey } from "../queries";

type Receipt = Pick<RunReceipt, "run_id">;

/** Says what was not done, then why; and a cure if the server cannot be reached. */
function reportNot(done: string, cure = "") {
  return (error: unknown): never => {
    if (!(error instanceof ApiError)) throw error;
    const { message, status, code, requestId, isNetwork } = error;
    throw new ApiError(`${done} ${message}${isNetwork ? cure : ""}`, status, code, requestId);
  };
}

const notCancelled = reportNot(
  "The run was not cancelled.",
  " The run goes on. Cancel it again once the page is connected.",
);
const notSent = reportNot("The message was not sent.");

export function useRunActions(run: RunDetail) {
  const client = useQueryClient();
  /** The parameters of a request that is done once. */
  const once = () => ({ path: { run_id: run.run_id }, header: { "Idempotency-Key": newKey() } });
  const goOn = (fields: Partial<Schemas["ContinueAnyForm"]>): Promise<Receipt> => {
    const body = { session_id: run.session_id, background: true, stream: false, ...fields };
    return dataOf(api.POST("/runs/{run_id}/continue", { params: once(), body }));
  };
  const reread = () => client.invalidateQueries({ queryKey: runKey(run.run_id) });
  const open = (receipt: Receipt) => navigate(`/runs/${segment(receipt.run_id)}`);
  const { kind, id } = componentOf(run);

  const cancel = useMutation({
    mutationFn: () => dataOf(api.POST("/runs/{run_id}/cancel", { params: once() })).catch(notCancelled),
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
      mutationFn: (message: { text: string; memberRunId: string | null }) => {
        const body = { message: message.text, member_run_id: message.memberRunId };
        return dataOf(api.POST("/runs/{run_id}/messages", { params: once(), body })).catch(notSent);
      },
    }),
    rerun: useMutation({
      mutationFn: (): Promise<Receipt> => dataOf(api.POST("/runs/{run_id}/rerun", { params: once() })),
      onSuccess: open,
    }),
    resume: useMutation({
      mutationFn: () => goOn({}),
      onSuccess: (receipt) => Promise.all([open(receipt), reread()]),
    }),
    /** Forks the run from the turn of a step. */
    forkFrom: useMutation({
      mutationFn: (step: string) => goOn({ from_step: step }),
      onSuccess: (receipt) => Promise.all([open(receipt), reread()]),
    }),
    fork: useMutation({
      mutationFn: () => forkSession(kind, id, run.session_id),
      onSuccess: (forked) => navigate(`/sessions/${segment(forked.session_id)}`),
    }),
    export: useMutation({ mutationFn: () => download(run.run_id) }),
  };
}

async function download(runId: string): Promise<void> {
  const params = { path: { run_id: runId } };
  const url = URL.createObjectURL(await dataOf(fileApi.GET("/runs/{run_id}/export", { params, parseAs: "blob" })));
  const link = document.createElement("a");
  link.href = url;
  link.download = `run-${runId.replace(/[^\w-]+/g, "_").slice(0, 60)}.json`;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
