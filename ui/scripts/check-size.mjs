// The page's budgets, gzipped: all script, the script and style that the first page needs, and style.
import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const FOLDER = new URL("../../src/musterd/ui_dist/", import.meta.url);
const BUDGETS = { "all script": 150_000, "script of the first page": 125_000, style: 12_000 };

const size = (path) => gzipSync(readFileSync(new URL(path, FOLDER)), { level: 9 }).length;
const assets = readdirSync(new URL("assets/", FOLDER)).map((name) => `assets/${name}`);
const scripts = assets.filter((path) => path.endsWith(".js"));
const index = readFileSync(new URL("index.html", FOLDER), "utf8");
const first = scripts.filter((path) => index.includes(path));
const sum = (paths) => paths.reduce((total, path) => total + size(path), 0);

const sizes = {
  "all script": sum(scripts) + size("theme.js"),
  "script of the first page": sum(first) + size("theme.js"),
  style: sum(assets.filter((path) => path.endsWith(".css"))),
};
let isOver = false;
for (const [name, bytes] of Object.entries(sizes)) {
  const budget = BUDGETS[name];
  isOver ||= bytes > budget;
  console.log(
    `${name}: ${(bytes / 1000).toFixed(1)} of ${budget / 1000} kB${bytes > budget ? ", over the budget" : ""}`,
  );
}
if (isOver) process.exit(1);
