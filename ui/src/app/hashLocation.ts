/** The place of the page: path and query after the `#`, so that any proxy prefix works. */
import { useCallback, useLayoutEffect, useMemo, useSyncExternalStore } from "react";
import { useSearch } from "wouter";
import { isAtDialog, stepBack, whenSettled } from "./dialogHistory";

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

export interface NavigateOptions {
  /** Take over the current entry of the history: there is no step for Back. */
  replace?: boolean;
  /** Undo the step that led here from the new place; if another one led here, take over its entry. */
  back?: boolean;
}

export function navigate(to: string, { replace = false, back = false }: NavigateOptions = {}): void {
  whenSettled(() => {
    const url = `#${to.startsWith("/") ? to : `/${to}`}`;
    const here = window.location.hash;
    if (url === here) return;
    if (back && placeBelow() === url) stepBack();
    else if (replace || back || isAtDialog()) {
      // A place that a dialog leads to takes over the dialog's entry, so that Back leads to the page below the dialog.
      window.history.replaceState(replace || back ? window.history.state : null, "", url);
      window.dispatchEvent(new HashChangeEvent("hashchange"));
    } else {
      window.location.hash = url;
      window.history.replaceState({ below: here }, "");
    }
  });
}

/** The place of the entry below the current one in the history, if a step on the page led from it. */
function placeBelow(): string | undefined {
  return (window.history.state as { below?: string } | null)?.below;
}

export function useHashLocation(): [string, typeof navigate] {
  return [useSyncExternalStore(subscribe, currentPath), navigate];
}
useHashLocation.hrefs = (href: string) => `#${href}`;

/** Lead from one path to another place, which takes over its entry of the history. Null: stay. */
export function useRedirect(from: string, to: string | null): void {
  useLayoutEffect(() => {
    // The page of a place that the user has just left is still drawn for a moment.
    if (to !== null && isAt(from)) navigate(to, { replace: true });
  }, [from, to]);
}

/** Ids in paths may be written with or without escapes. */
function isAt(path: string): boolean {
  return decoded(currentPath()) === decoded(path);
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path; // no valid escapes
  }
}

export function useHashSearch(): string {
  return useSyncExternalStore(subscribe, currentSearch);
}

export type ParamChanges = Record<string, string | null>;

/** The query of the page's place, and how to change it. Null removes a name. */
export function useParams(): [URLSearchParams, (changes: ParamChanges, options?: NavigateOptions) => void] {
  const search = useSearch();
  const params = useMemo(() => new URLSearchParams(search), [search]);
  const change = useCallback((changes: ParamChanges, options: NavigateOptions = {}) => {
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
