import tailwindcss from "@tailwindcss/vite";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** `public/theme.js` must run before the first paint, so it is no module, and Vite does not bundle it. */
const themeScript: Plugin = {
  name: "theme-script",
  transformIndexHtml: () => [{ tag: "script", attrs: { src: "./theme.js" }, injectTo: "head-prepend" }],
};

// Built pages use relative URLs only, so that they work under any proxy prefix.
export default defineConfig(({ command }) => ({
  base: command === "serve" ? "/ui/" : "./",
  plugins: [tailwindcss(), themeScript],
  resolve: {
    alias: {
      "@": new URL("./src", import.meta.url).pathname,
      // Preact has the interface of React and is 58 kB smaller: docs/decisions/012.
      "react/jsx-runtime": "preact/jsx-runtime",
      "react-dom/client": "preact/compat/client",
      "react-dom": "preact/compat",
      react: "preact/compat",
    },
  },
  build: {
    outDir: "../src/musterd/ui_dist",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // the CSP allows no data: fonts or scripts
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    cssCodeSplit: false,
    // Script that several pages use compresses better in one file.
    rolldownOptions: {
      output: { codeSplitting: { groups: [{ name: "shared", test: /\.[jt]sx?$/, minShareCount: 2 }] } },
    },
  },
  // `npm run dev` beside `musterd serve`: everything but the page itself is the server's.
  server: { proxy: { "^/(?!ui/)": { target: "http://127.0.0.1:7777", changeOrigin: false } } },
  test: {
    environment: "happy-dom",
    include: ["src/**/*.test.{ts,tsx}"],
    restoreMocks: true,
    testTimeout: 60_000, // a busy machine is slow, not wrong
    // Packages that import `react`: the alias reaches only what Vite transforms.
    server: { deps: { inline: ["@tanstack/react-query", "wouter", "lucide-react", "use-sync-external-store"] } },
  },
}));
