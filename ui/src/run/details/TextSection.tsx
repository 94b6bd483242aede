import { useMemo, useState } from "react";
import { parseExact } from "../../api/exactJson";
import { Button } from "../../shared/Button";
import { CodeBlock, CopyButton } from "../../shared/CodeBlock";
import { formatCount } from "../../shared/format";
import { Markdown } from "../../shared/Markdown";

interface TextSectionProps {
  title: string;
  value: unknown;
  /** Whether a text is prose of a model, shown as Markdown. */
  isProse?: boolean;
  /** The length of the whole text, of which `value` may be the beginning. */
  characters?: number | null;
}

/** Longer texts are shown in part until the reader asks for the rest. */
const SHOWN_CHARACTERS = 6000;

export function TextSection({ title, value, isProse = false, characters = null }: TextSectionProps) {
  const [isWhole, setWhole] = useState(false);
  const parsed = useMemo(() => (typeof value === "string" && !isProse ? parsedJson(value) : value), [value, isProse]);
  const text = typeof parsed === "string" ? parsed : JSON.stringify(parsed, null, 2);
  const isLong = text.length > SHOWN_CHARACTERS && !isWhole;
  const shown = isLong ? text.slice(0, SHOWN_CHARACTERS) : parsed;
  return (
    <section>
      <h3>
        {title}
        <span className="ml-auto">
          <CopyButton text={typeof value === "string" ? value : text} label={`Copy: ${title}`} />
        </span>
      </h3>
      {isProse && typeof shown === "string" ? <Markdown text={shown} /> : <CodeBlock value={shown} label={title} />}
      {isLong ? (
        <Button className="mt-2" onClick={() => setWhole(true)}>
          Show all
        </Button>
      ) : null}
      {typeof value === "string" && characters !== null && characters > value.length ? (
        <p className="mt-2 text-meta text-ink-3">
          {`The first ${formatCount(value.length)} of ${formatCount(characters)} characters; the export has all.`}
        </p>
      ) : null}
    </section>
  );
}

/** The value of a text that is a JSON object or list; otherwise the text. */
export function parsedJson(text: string): unknown {
  if (!/^\s*[[{]/.test(text)) return text;
  try {
    return parseExact(text);
  } catch {
    return text;
  }
}
