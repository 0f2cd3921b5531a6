import { defineConfig } from "@playwright/test";

/**
 * The page as it is deployed: built, and served by `vite preview` from WEB_SITE.
 *
 * `page` are the tests, for which tests/examples/test_web.py puts bundles beside the built page and
 * writes Python's pictures to WEB_EXPECTED. `draw` and `time` are for benchmarks/gallery.py and
 * benchmarks/web_page.py.
 */
const site = process.env["WEB_SITE"] ?? "dist";
const port = Number(process.env["WEB_PORT"] ?? 4173);

export default defineConfig({
  testDir: "tests",
  projects: [{ name: "page" }, { name: "draw", testMatch: "draw.ts" }, { name: "time", testMatch: "time.ts" }],
  outputDir: `${site}/../test-results`,
  // They share the cores with onnxruntime.
  workers: 1,
  timeout: 120_000,
  expect: { timeout: 60_000 },
  forbidOnly: true,
  reporter: "list",
  use: {
    baseURL: `http://localhost:${port}`,
    launchOptions: {
      executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
      // So that the test of memory can collect the garbage first.
      args: ["--js-flags=--expose-gc"],
    },
  },
  webServer: {
    command: `vite preview --outDir ${site} --port ${port} --strictPort`,
    port,
    reuseExistingServer: false,
  },
});
