/** The title of the tab: `(2) Runs · musterd`, with how many approvals wait. */
import { useEffect } from "react";

let title = "musterd";
let badge = 0;

function show(): void {
  document.title = `${badge > 0 ? `(${badge}) ` : ""}${title === "musterd" ? title : `${title} · musterd`}`;
}

export function setBadge(count: number): void {
  badge = count;
  show();
}

/** Name the page in the tab's title. */
export function usePageTitle(name: string | null | undefined): void {
  useEffect(() => {
    title = name || "musterd";
    show();
  }, [name]);
}
