/** What a reader can do with a run. Each request has a key of its own, so that sending it twice does it once. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { dataOf, newKey, type RunReceipt, type Schemas } from "musterd-client";
import { useEffect } from "react";
import { api, fileApi, reportNot, segment } from "../../api/client";
import { leadTo, type Origin, useFollowUp } from "../../app/followUp";
import { useFork } from "../../sessions/queries";
import { isFinal, type RunDetail } from "../model/types";
import { runKey } from "../queries";

type Receipt = Pick<RunReceipt, "run_id">;

const notCancelled = reportNot(
  "The run was not cancelled.",
  " The run goes on. Cancel it again once the page is connected.",
);
const notSent = reportNot("The message was not sent.");
const notRunAgain = reportNot("The run was not made again.");
const notContinued = reportNot("The run was not continued.");
const notForked = reportNot("The run was not forked.");
const notExported = reportNot("The run was not exported.");

export function useRunActions(run: RunDetail) {
  const client = useQueryClient();
  /** The parameters of a request that is done once. */
  const once = () => ({ path: { run_id: run.run_id }, header: { "Idempotency-Key": newKey() } });
  const goOn = (fields: Partial<Schemas["ContinueAnyForm"]>): Promise<Receipt> => {
    const body = { session_id: run.session_id, background: true, stream: false, ...fields };
    return dataOf(api.POST("/runs/{run_id}/continue", { params: once(), body }));
  };
  const reread = () => client.invalidateQueries({ queryKey: runKey(run.run_id) });
  const followUp = useFollowUp();
  const open = (receipt: Receipt, words: string, origin: Origin) =>
    leadTo(`/runs/${segment(receipt.run_id)}`, words, origin);

  const cancel = useMutation({
    ...followUp,
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
      ...followUp,
      mutationFn: (message: { text: string; memberRunId: string | null }) => {
        const body = { message: message.text, member_run_id: message.memberRunId };
        return dataOf(api.POST("/runs/{run_id}/messages", { params: once(), body })).catch(notSent);
      },
    }),
    rerun: useMutation({
      ...followUp,
      mutationFn: (): Promise<Receipt> =>
        dataOf(api.POST("/runs/{run_id}/rerun", { params: once() })).catch(notRunAgain),
      onSuccess: (receipt, _sent, origin) => open(receipt, "The run was started again.", origin),
    }),
    resume: useMutation({
      ...followUp,
      mutationFn: () => goOn({}).catch(notContinued),
      onSuccess: (receipt, _sent, origin) => Promise.all([open(receipt, "The run goes on.", origin), reread()]),
    }),
    /** Forks the run from the turn of a step. */
    forkFrom: useMutation({
      ...followUp,
      mutationFn: (step: string) => goOn({ from_step: step }).catch(notForked),
      onSuccess: (receipt, _sent, origin) => Promise.all([open(receipt, "The run was forked.", origin), reread()]),
    }),
    fork: useFork(run.session_id),
    export: useMutation({ ...followUp, mutationFn: () => download(run.run_id).catch(notExported) }),
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
