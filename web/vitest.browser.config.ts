import { defineConfig } from "vitest/config";

// Real browser, real server: the tests, or with SHOTS=FOLDER the documentation's screenshots.
export default defineConfig({
  test: {
    include: [process.env["SHOTS"] ? "browser/shots.ts" : "browser/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    fileParallelism: false,
  },
});
