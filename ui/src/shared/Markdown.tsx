import { useEffect, useState } from "react";

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
  return <div className="prose" ref={(element) => element?.replaceChildren(render(text))} />;
}
