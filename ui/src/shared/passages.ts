/** The passages that searches of knowledge bases found, as the page shows them. */
import type { Search } from "../api/types";

export interface Passage {
  key: string;
  title: string;
  /** Where in its document the passage stands, such as "page 3". */
  place: string | null;
  score: number | null;
  text: string;
  /** The address of the document; null if it has none, or one that is no address of the web. */
  url: string | null;
}

const TITLE_CHARACTERS = 120;

/** The passages of all searches in their order, each once. A user's function may return values of any shape. */
export function passagesOf(searches: readonly Search[]): Passage[] {
  const passages = new Map<string, Passage>();
  for (const { references } of searches) {
    for (const reference of references) {
      const passage = passageOf(reference);
      if (!passages.has(passage.key)) passages.set(passage.key, passage);
    }
  }
  return [...passages.values()];
}

function passageOf(reference: unknown): Passage {
  const { name, content, place, content_origin, meta_data } = asObject(reference);
  const score = asObject(meta_data).similarity_score;
  const text = asText(content) ?? asText(reference) ?? JSON.stringify(reference, null, 2);
  const title = asText(name) ?? asText(content_origin) ?? text.trim().split("\n", 1)[0] ?? "";
  return {
    key: JSON.stringify([title, place, text]),
    title: title.slice(0, TITLE_CHARACTERS),
    place: asText(place),
    score: typeof score === "number" ? score : null,
    text,
    url: [content_origin, name].map(asText).find((address) => /^https?:\/\//i.test(address ?? "")) ?? null,
  };
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function asText(value: unknown): string | null {
  return typeof value === "string" && value.trim() !== "" ? value : null;
}
