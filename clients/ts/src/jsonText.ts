/** A JSON value as a text that is the same for equal values: with sorted names. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value ?? null, (_name, item: unknown) =>
    item !== null && typeof item === "object" && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}
