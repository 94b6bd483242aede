import { useEffect, useLayoutEffect, useRef, useState } from "react";

type Render = (text: string) => DocumentFragment;
let renderer: Promise<Render> | null = null;

/** Text of a model as Markdown, sanitized; plain until the renderer is loaded. Live text stays plain: use `<p>`. */
export function Markdown({ text }: { text: string }) {
  const [render, setRender] = useState<Render | null>(null);
  useEffect(() => {
    let isMounted = true;
    renderer ??= import("./markdownRenderer").then((module) => module.renderMarkdown);
    renderer.then(
      (loaded) => isMounted && setRender(() => loaded),
      () => {
        renderer = null; // the text stays plain
      },
    );
    return () => {
      isMounted = false;
    };
  }, []);
  if (!render) return <div className="prose whitespace-pre-wrap">{text}</div>;
  return <Rendered text={text} render={render} />;
}

function Rendered({ text, render }: { text: string; render: Render }) {
  const element = useRef<HTMLDivElement>(null);
  // Only if the text has changed: new nodes would undo a selection, and take time for each token beside it.
  useLayoutEffect(() => element.current?.replaceChildren(render(text)), [text, render]);
  return <div className="prose" ref={element} />;
}
