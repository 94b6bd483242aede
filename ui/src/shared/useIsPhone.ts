/** Whether the window is a phone's: pages with panes then show one of them. The CSS has the same limit. */
import { useSyncExternalStore } from "react";

const PHONE = "(max-width: 720px)";

function subscribe(listener: () => void): () => void {
  const list = matchMedia(PHONE);
  list.addEventListener("change", listener);
  return () => list.removeEventListener("change", listener);
}

export function useIsPhone(): boolean {
  return useSyncExternalStore(subscribe, () => matchMedia(PHONE).matches);
}
