import { defineConfig } from "vitest/config";

// Real browser, real server: the tests, or with SHOTS=FOLDER the documentation's screenshots.
export default defineConfig({
  test: {
    include: [process.env["SHOTS"] ? "browser/shots.ts" : "browser/**/*.test.ts"],
    // Reached only by a test that fails, on however busy a machine.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 60_000 } },
    fileParallelism: false,
  },
});
