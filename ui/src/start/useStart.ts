/** Starting a run: the same key for the same request, so that a repeated attempt never starts a second run. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { newKey, type Schemas, sendStart } from "musterd-client";
import { api, fileApi, reportNot } from "../api/client";
import { type Origin, useFollowUp } from "../app/followUp";
import type { JsonObject } from "../approvals/approval";
import { type RunTarget, type StartForm, startBody } from "./startRequest";

export type StartedRun = Schemas["RunReceipt"];

interface Start {
  target: RunTarget;
  form: StartForm;
  values?: JsonObject;
}

interface StartOptions {
  onStarted?: (run: StartedRun, sent: StartForm, origin: Origin) => void;
  /** Puts what was not sent back, also once its form is gone. */
  onFailed?: (form: StartForm) => void;
}

/**
 * The last start in each session until it succeeds. One whose answer was lost may have been accepted: sent again with its
 * key, also by another form, it is answered with the same run.
 */
const unanswered = new Map<string, { request: string; key: string }>();

const notStarted = reportNot("The run was not started.");

export function useStart({ onStarted, onFailed }: StartOptions) {
  const client = useQueryClient();
  const followUp = useFollowUp();
  return useMutation({
    ...followUp,
    mutationFn: ({ target, form, values }: Start) => {
      const request = fingerprintOf(target, form);
      const last = unanswered.get(form.sessionId);
      const key = last?.request === request ? last.key : newKey();
      unanswered.set(form.sessionId, { request, key });
      const start = { kind: target.kind, component: target.id, body: startBody(form, values), idempotencyKey: key };
      return sendStart(form.files.length > 0 ? fileApi : api, start).catch(notStarted);
    },
    onSuccess: (run, start, origin) => {
      unanswered.delete(start.form.sessionId);
      void client.invalidateQueries({ queryKey: ["runs"] });
      void client.invalidateQueries({ queryKey: ["sessions"] });
      onStarted?.(run, start.form, origin);
    },
    onError: (error, start, origin) => {
      onFailed?.(start.form);
      followUp.onError(error, start, origin);
    },
  });
}

function fingerprintOf(target: RunTarget, form: StartForm): string {
  const files = form.files.map((file) => [file.name, file.size, file.lastModified]);
  return JSON.stringify([target, { ...form, files }]);
}
