/** Markdown to sanitized elements. Loaded lazily: it is a fifth of the script's budget. */
import DOMPurify from "dompurify";
import { Marked } from "marked";

const marked = new Marked({ gfm: true, breaks: true, async: false });

const ALLOWED_TAGS = [
  ..."p br hr strong em del s code pre blockquote ul ol li".split(" "),
  ..."h1 h2 h3 h4 h5 h6 table thead tbody tr th td a".split(" "),
];

export function renderMarkdown(text: string): DocumentFragment {
  if (!DOMPurify.isSupported) return plain(text);
  const html = marked.parse(text) as string;
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

function plain(text: string): DocumentFragment {
  const fragment = document.createDocumentFragment();
  fragment.append(text);
  return fragment;
}
