import { useMemo, useState } from "react";
import type { Search } from "../api/types";
import { Button } from "./Button";
import { formatCount } from "./format";
import { type Passage, passagesOf } from "./passages";

/** More than that are shown when the reader asks for them. */
const FEW = 5;

/** The sources of an answer: a line for each passage that a search found, which opens to the passage. */
export function Sources({ searches }: { searches: readonly Search[] | undefined }) {
  const [isWhole, setWhole] = useState(false);
  const passages = useMemo(() => passagesOf(searches ?? []), [searches]);
  if (passages.length === 0) return null;
  return (
    <div className="sources">
      <p className="text-meta text-ink-3">Sources</p>
      <ol aria-label="Sources">
        {passages.slice(0, isWhole ? passages.length : FEW).map((passage) => (
          <li key={passage.key}>
            <PassageView passage={passage} />
          </li>
        ))}
      </ol>
      {isWhole || passages.length <= FEW ? null : (
        <Button kind="quiet" onClick={() => setWhole(true)}>{`Show all ${formatCount(passages.length)}`}</Button>
      )}
    </div>
  );
}

function PassageView({ passage }: { passage: Passage }) {
  const [isOpen, setOpen] = useState(false);
  const { title, place, score, text, url } = passage;
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        {title}
        {place === null ? null : <span className="text-ink-3">{`, ${place}`}</span>}
      </summary>
      {isOpen ? (
        <>
          <p className="whitespace-pre-wrap">{text}</p>
          <p className="text-meta text-ink-3">
            {score === null ? null : `Score ${score.toFixed(2)} `}
            {url === null ? null : (
              <a className="text-link" href={url} target="_blank" rel="noopener noreferrer nofollow">
                {url}
              </a>
            )}
          </p>
        </>
      ) : null}
    </details>
  );
}
