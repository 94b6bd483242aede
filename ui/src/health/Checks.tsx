import { Check as CheckIcon, X } from "lucide-react";
import { formatTime } from "../shared/format";
import type { Check } from "./status";
import { checkName } from "./verdict";

export interface ChecksProps {
  checks: readonly Check[];
  /** When the server was asked last, in milliseconds. */
  askedAt: number;
}

export function Checks({ checks, askedAt }: ChecksProps) {
  return (
    <section className="panel health-narrow" aria-labelledby="checks">
      <h2 id="checks">
        Checks<span>at {formatTime(askedAt / 1000)}</span>
      </h2>
      <ul className="checks">
        {checks.map((check) => (
          <li key={check.name} data-failing={check.ok ? undefined : true}>
            {check.ok ? (
              <CheckIcon className="icon-small text-ok" aria-hidden="true" />
            ) : (
              <X className="icon-small text-fail" aria-hidden="true" />
            )}
            {checkName(check)}
            <span className={check.ok ? "check-value" : "check-value text-fail"}>
              {check.ok ? "OK" : (check.problem ?? "Fails")}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
