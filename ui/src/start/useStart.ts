/** Starting a run: the same key for the same request, so that a repeated attempt never starts a second run. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { newKey, type Schemas, sendStart } from "musterd-client";
import { useRef } from "react";
import { api, fileApi, reportNot } from "../api/client";
import { type IsHere, useFollowUp } from "../app/followUp";
import type { JsonObject } from "../approvals/approval";
import { type RunTarget, type StartForm, startBody } from "./startRequest";

export type StartedRun = Schemas["RunReceipt"];

const notStarted = reportNot("The run was not started.");

export function useStart(onStarted?: (run: StartedRun, isHere: IsHere) => void) {
  const client = useQueryClient();
  // A start whose answer was lost may have been accepted: sent again with its key it is answered with the same run.
  const last = useRef<{ request: string; key: string } | null>(null);
  const followUp = useFollowUp();
  return useMutation({
    ...followUp,
    mutationFn: ({ target, form, values }: { target: RunTarget; form: StartForm; values?: JsonObject }) => {
      const body = startBody(form, values);
      const fingerprint = fingerprintOf(target, form);
      if (last.current?.request !== fingerprint) last.current = { request: fingerprint, key: newKey() };
      const { kind, id: component } = target;
      return sendStart(form.files.length > 0 ? fileApi : api, {
        kind,
        component,
        body,
        idempotencyKey: last.current.key,
      }).catch(notStarted);
    },
    onSuccess: (run, _sent, isHere) => {
      last.current = null;
      void client.invalidateQueries({ queryKey: ["runs"] });
      void client.invalidateQueries({ queryKey: ["sessions"] });
      onStarted?.(run, isHere);
    },
  });
}

function fingerprintOf(target: RunTarget, form: StartForm): string {
  const files = form.files.map((file) => [file.name, file.size, file.lastModified]);
  return JSON.stringify([target, { ...form, files }]);
}
