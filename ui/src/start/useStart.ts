/** Starting a run: the same key for the same request, so that a repeated attempt never starts a second run. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useRef } from "react";
import { request } from "../api/client";
import type { components } from "../api/schema";
import type { JsonObject } from "../approvals/approval";
import { type RunTarget, runsPath, type StartForm, startBody } from "./startRequest";

export type StartedRun = components["schemas"]["RunReceipt"];

export function useStart(onStarted: (run: StartedRun) => void) {
  const client = useQueryClient();
  // A start whose answer was lost may have been accepted: sent again with its key it is answered with the same run.
  const last = useRef<{ request: string; key: string } | null>(null);
  return useMutation({
    mutationFn: ({ target, form, values }: { target: RunTarget; form: StartForm; values?: JsonObject }) => {
      const body = startBody(form, values);
      const fingerprint = fingerprintOf(target, form);
      if (last.current?.request !== fingerprint) last.current = { request: fingerprint, key: newKey() };
      const headers = { "Idempotency-Key": last.current.key };
      const content = body instanceof FormData ? { form: body } : { json: body };
      return request<StartedRun>(runsPath(target), { method: "POST", headers, ...content });
    },
    onSuccess: (run) => {
      last.current = null;
      void client.invalidateQueries({ queryKey: ["runs"] });
      void client.invalidateQueries({ queryKey: ["sessions"] });
      onStarted(run);
    },
  });
}

function fingerprintOf(target: RunTarget, form: StartForm): string {
  const files = form.files.map((file) => [file.name, file.size, file.lastModified]);
  return JSON.stringify([target, { ...form, files }]);
}

/** A random key; `crypto.randomUUID` does not exist without HTTPS. */
function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `ui-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
