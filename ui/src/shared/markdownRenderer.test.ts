// happy-dom is no browser that DOMPurify supports: tests/ui sends hostile Markdown to a real one.
import { expect, test } from "vitest";
import { renderMarkdown } from "./markdownRenderer";

function html(text: string): string {
  const element = document.createElement("div");
  element.append(renderMarkdown(text));
  return element.innerHTML;
}

test("Markdown becomes elements", () => {
  expect(html("**Done**\n\n1. one\n2. two")).toContain("<strong>Done</strong>");
  expect(html("1. one")).toContain("<li>one</li>");
});

test("links open elsewhere and tell nothing", () => {
  expect(html("[docs](https://example.com)")).toContain('rel="noopener noreferrer nofollow"');
});

test("HTML stays text, except line breaks", () => {
  expect(html("a <b>bold</b> word")).toContain("a &lt;b&gt;bold&lt;/b&gt; word");
  expect(html("<div onclick='x()'>**strong**</div>")).toContain("&lt;div onclick=");
  expect(html("| a |\n|---|\n| one<br>two |")).toMatch(/one<br\s*\/?>two/);
});

test("a text that is nested too deeply or too long stays plain", () => {
  expect(html(`${">".repeat(20_000)} deep`)).toContain("&gt;&gt;&gt;");
  expect(html(`**long** ${"word ".repeat(30_000)}`)).toContain("**long** word");
});
