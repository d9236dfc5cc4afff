import { defineConfig } from "vitest/config";

// Relative paths, so that the page works behind a proxy's prefix too. No file is inlined: the
// server's Content-Security-Policy allows nothing inline.
export default defineConfig({
  base: "./",
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  // `npm run dev` beside a running preheat, found at its default address or at PREHEAT_URL.
  server: { proxy: { "/api": process.env["PREHEAT_URL"] ?? "http://127.0.0.1:8081" } },
  test: { include: ["tests/**/*.test.ts"] },
});
