/** The colours of the canvas: those of the page, read once for each theme. */

const NAMES = {
  surface: "--surface",
  line: "--line",
  ink: "--ink",
  ink2: "--ink-2",
  ink3: "--ink-3",
  track: "--track",
  model: "--model",
  modelWash: "--model-wash",
  tool: "--tool",
  toolWash: "--tool-wash",
  hook: "--idle",
  hookWash: "--idle-wash",
  fail: "--fail",
  failWash: "--fail-wash",
  wait: "--wait",
  waitWash: "--wait-wash",
  waitFill: "--wait-fill",
  runFill: "--run-fill",
  onFill: "--on-fill",
  sunken: "--sunken",
} as const;

export type Colours = Record<keyof typeof NAMES, string>;

export function readColours(element: Element = document.documentElement): Colours {
  const style = getComputedStyle(element);
  const entries = Object.entries(NAMES).map(([name, variable]) => [
    name,
    style.getPropertyValue(variable).trim() || "#888",
  ]);
  return Object.fromEntries(entries) as Colours;
}

/** Call `listener` when the theme changes; returns how to stop. */
export function onThemeChange(listener: () => void): () => void {
  const observer = new MutationObserver(listener);
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme", "class"] });
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", listener);
  return () => {
    observer.disconnect();
    media.removeEventListener("change", listener);
  };
}
