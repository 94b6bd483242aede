import { CircleX, Info, type LucideIcon } from "lucide-react";
import type { ReactNode } from "react";
import { ApiError } from "../api/client";
import { Button } from "./Button";
import type { Tone } from "./status";

/** A page or list with nothing in it: what that means, and what to do. */
export function EmptyState({ icon: Icon = Info, title, children, actions }: EmptyStateProps) {
  return (
    <div className="empty">
      <Icon className="icon" aria-hidden="true" />
      <h2>{title}</h2>
      {children ? <p className="mt-1 text-ink-2">{children}</p> : null}
      {actions ? <div className="mt-3.5 flex flex-wrap justify-center gap-2">{actions}</div> : null}
    </div>
  );
}

export interface EmptyStateProps {
  icon?: LucideIcon;
  title: string;
  children?: ReactNode;
  actions?: ReactNode;
}

/** Cause, cure, request id. */
export function ErrorState({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  return (
    <div className="p-4" role="alert">
      <Banner tone="fail" icon={CircleX}>
        {error instanceof Error ? error.message : String(error)}
        <br />
        <span className="font-normal">{cureOf(error)}</span>
      </Banner>
      {onRetry ? (
        <Button className="mt-3" onClick={onRetry}>
          Try again
        </Button>
      ) : null}
    </div>
  );
}

function cureOf(error: unknown): string {
  if (!(error instanceof ApiError)) return "This is an error of the page; reloading it may help.";
  if (error.isNetwork) return "Check that the server is running. The page tries again by itself.";
  const request = error.requestId ? `Request ${error.requestId}` : "";
  const cure = {
    401: "Sign in with a valid key.",
    403: "Ask an administrator for access.",
    404: "It may have been deleted, or you may not have access.",
  }[error.status];
  return [cure, request].filter(Boolean).join(" ");
}

export interface UnreadProps {
  /** Why it cannot be read; null: it is being read. */
  error: unknown;
  onRetry: () => void;
  rows?: number | undefined;
}

/** In place of what is not there yet, or cannot be read. */
export function Unread({ error, onRetry, rows }: UnreadProps) {
  return error ? <ErrorState error={error} onRetry={onRetry} /> : <Skeleton rows={rows} />;
}

/** A page whose contents are not there yet, or cannot be read. */
export function UnreadPage({ title, ...rest }: UnreadProps & { title: string }) {
  return (
    <div className="page">
      <h1 className="sr-only">{title}</h1>
      <section className="panel">
        <Unread {...rest} />
      </section>
    </div>
  );
}

export interface BannerProps {
  tone: Tone;
  icon?: LucideIcon;
  /** Stands at the right end. */
  end?: ReactNode;
  children: ReactNode;
}

export function Banner({ tone, icon: Icon = Info, end, children }: BannerProps) {
  return (
    <div className="banner" data-tone={tone}>
      <Icon className="icon" aria-hidden="true" />
      <div className="min-w-0">{children}</div>
      {end ? <div className="ml-auto flex-none">{end}</div> : null}
    </div>
  );
}

const WIDTHS = ["w-[88%]", "w-[64%]", "w-[76%]", "w-[52%]"];

/** Bars in place of a first load; nothing is drawn for the first 150 ms. */
export function Skeleton({ rows = 4 }: { rows?: number | undefined }) {
  return (
    <div role="status">
      <span className="sr-only">Loading</span>
      {Array.from({ length: rows }, (_, index) => (
        <div
          // biome-ignore lint/suspicious/noArrayIndexKey: the rows are all alike
          key={index}
          className="grid grid-cols-[80px_1fr_60px] gap-4 border-b border-line px-4 py-3.5 last:border-0"
        >
          <div className="skeleton" />
          <div className={`skeleton ${WIDTHS[index % WIDTHS.length]}`} />
          <div className="skeleton" />
        </div>
      ))}
    </div>
  );
}
