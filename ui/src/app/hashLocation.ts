/** The place of the page: path and query after the `#`, so that any proxy prefix works. */
import { useCallback, useMemo, useSyncExternalStore } from "react";
import { useSearch } from "wouter";
import { isAtDialog, whenSettled } from "./dialogHistory";

function subscribe(listener: () => void): () => void {
  window.addEventListener("hashchange", listener);
  return () => window.removeEventListener("hashchange", listener);
}

function hash(): string {
  const text = window.location.hash.replace(/^#/, "");
  return text.startsWith("/") ? text : `/${text}`;
}

/** The path of the place now; the page that is drawn may still be that of the place before. */
export const currentPath = () => hash().split("?", 1)[0] ?? "/";
const currentSearch = () => hash().split("?").slice(1).join("?");

export function navigate(to: string, { replace = false }: { replace?: boolean } = {}): void {
  whenSettled(() => {
    const url = `#${to.startsWith("/") ? to : `/${to}`}`;
    if (url === window.location.hash) return;
    if (replace || isAtDialog()) {
      // A place that a dialog leads to takes over the dialog's entry, so that Back leads to the page below the dialog.
      window.history.replaceState(replace ? window.history.state : null, "", url);
      window.dispatchEvent(new HashChangeEvent("hashchange"));
    } else window.location.hash = url;
  });
}

export function useHashLocation(): [string, typeof navigate] {
  return [useSyncExternalStore(subscribe, currentPath), navigate];
}
useHashLocation.hrefs = (href: string) => `#${href}`;

export function useHashSearch(): string {
  return useSyncExternalStore(subscribe, currentSearch);
}

export type ParamChanges = Record<string, string | null>;

/** The query of the page's place, and how to change it. Null removes a name; `replace` leaves no step for Back. */
export function useParams(): [URLSearchParams, (changes: ParamChanges, options?: { replace?: boolean }) => void] {
  const search = useSearch();
  const params = useMemo(() => new URLSearchParams(search), [search]);
  const change = useCallback((changes: ParamChanges, options: { replace?: boolean } = {}) => {
    const next = new URLSearchParams(currentSearch());
    for (const [name, value] of Object.entries(changes)) {
      if (value === null || value === "") next.delete(name);
      else next.set(name, value);
    }
    const query = next.toString();
    navigate(currentPath() + (query ? `?${query}` : ""), options);
  }, []);
  return [params, change];
}
