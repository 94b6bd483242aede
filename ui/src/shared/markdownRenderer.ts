/** Markdown to sanitized elements. Loaded lazily: it is a fifth of the script's budget. */
import DOMPurify from "dompurify";
import { Marked } from "marked";

/**
 * HTML from a model or a tool is shown as text, because browsers report inline event handlers to the console even if a
 * document is parsed only to be sanitized. Line breaks are kept, because models write them into table cells.
 */
const onlyLineBreaks = (source: string) => (/^<br *\/?>/i.test(source) ? false : undefined); // false: use marked's tokenizer

const marked = new Marked({
  gfm: true,
  breaks: true,
  async: false,
  tokenizer: { html: onlyLineBreaks, tag: onlyLineBreaks },
});

const ALLOWED_TAGS = [
  ..."p br hr strong em del s code pre blockquote ul ol li".split(" "),
  ..."h1 h2 h3 h4 h5 h6 table thead tbody tr th td a".split(" "),
];

/** Longer texts stay plain: rendering some of them takes time that grows with the square of their length. */
const MAX_LENGTH = 100_000;

export function renderMarkdown(text: string): DocumentFragment {
  const html = parse(text);
  if (html === null) return plain(text);
  const fragment = DOMPurify.sanitize(html, {
    ALLOWED_TAGS,
    ALLOWED_ATTR: ["href", "title", "start"],
    ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
    RETURN_DOM_FRAGMENT: true,
  });
  for (const link of fragment.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  }
  return fragment;
}

function parse(text: string): string | null {
  if (!DOMPurify.isSupported || text.length > MAX_LENGTH) return null;
  try {
    return marked.parse(text) as string;
  } catch {
    return null; // nested too deeply for the parser
  }
}

function plain(text: string): DocumentFragment {
  const fragment = document.createDocumentFragment();
  const paragraph = document.createElement("p");
  paragraph.className = "whitespace-pre-wrap";
  paragraph.textContent = text;
  fragment.append(paragraph);
  return fragment;
}
