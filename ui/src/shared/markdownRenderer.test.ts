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

test.each([
  "<script>alert(1)</script>",
  '<img src=x onerror="alert(1)">',
  "![x](https://evil.example/pixel.png)",
  '<a href="javascript:alert(1)">x</a>',
  "[x](javascript:alert(1))",
  '<iframe src="https://evil.example"></iframe>',
  '<form action="https://evil.example"><input></form>',
  '<p style="position:fixed">x</p>',
  "<style>body{display:none}</style>",
  '<svg onload="alert(1)"></svg>',
])("hostile: %s", (text) => {
  expect(html(text)).not.toMatch(/<(script|img|iframe|form|input|style|svg)|on\w+=|javascript:|style=/i);
});

test("links open elsewhere and tell nothing", () => {
  expect(html("[docs](https://example.com)")).toContain('rel="noopener noreferrer nofollow"');
});
