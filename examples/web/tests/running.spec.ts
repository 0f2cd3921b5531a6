import { readFileSync } from "node:fs";
import type { Browser } from "@playwright/test";
import { expect, expectStatus, finish, open, start, test } from "./page";

test("the first load is small, and nothing comes from elsewhere", async ({ page, context }) => {
  const sizes = new Map<string, number>();
  context.on("response", (response) => {
    sizes.set(response.url(), Number(response.headers()["content-length"] ?? 0));
  });
  await open(page);
  const own = [...sizes].filter(([url]) => !url.includes(".bundle/"));
  expect(own.map(([url]) => url).filter((url) => url.endsWith(".wasm"))).toHaveLength(1);
  const bytes = own.reduce((sum, [, size]) => sum + size, 0);
  expect(bytes).toBeLessThan(30 * 2 ** 20);
  // More than the WebAssembly alone: all of it was counted.
  expect(bytes).toBeGreaterThan(14e6);
  expect(new Set([...sizes.keys()].map((url) => new URL(url).hostname))).toEqual(
    new Set(["localhost"]),
  );
});

test("it runs on threads, and says so with the time of a step", async ({ page }) => {
  await open(page);
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
  await expect(page.getByText(/^WebAssembly, \d+ threads$/)).toBeVisible();
  await finish(page.locator("#generate"), { Pictures: 3, Steps: 4 });
  await expect(page.getByText(/^4 of 4 · [\d.]+ ms a step, 3 at once$/)).toBeVisible();
});

test("a host without isolation headers has one thread", async ({ page }) => {
  await page.route(/\/(\?.*)?$/, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, headers: { "content-type": "text/html" } });
  });
  await open(page);
  await expect(page.getByText("WebAssembly, 1 thread", { exact: true })).toBeVisible();
  await finish(page.locator("#generate"), { Pictures: 1, Steps: 2 });
});

test("steps are cancelled, and the next job runs", async ({ page }) => {
  await open(page);
  const panel = page.locator("#generate");
  await start(panel, { Pictures: 4, Steps: 1000 });
  await expect(page.getByText(/^[1-9]\d* of 1000/)).toBeVisible();
  await expect(panel.getByRole("button", { name: "Generate" })).toBeDisabled();
  await page.getByRole("button", { name: "Cancel" }).click();
  await expectStatus(page, "Cancelled");
  await expect(page.getByText("1000 of 1000")).toHaveCount(0);
  await finish(panel, { Steps: 2 });
});

test("inpainting, one run of a graph, is cancelled with Escape", async ({ page }) => {
  await open(page);
  const panel = page.locator("#generate");
  await finish(panel, { Pictures: 1, Steps: 1 });
  await panel.getByRole("button", { name: "Inpaint it" }).click();
  await page.getByLabel(/^Mask/).press("Space");
  await start(page.locator("#inpaint"), { Variations: 16, Steps: 1000 });
  await expectStatus(page, "Working");
  await page.keyboard.press("Escape");
  await expectStatus(page, "Cancelled");
  await finish(page.locator("#inpaint"), { Variations: 1, Steps: 1 });
});

test("the page goes on while the model runs", async ({ page }) => {
  await open(page);
  const panel = page.locator("#generate");
  await finish(panel, { Pictures: 1, Steps: 1 });
  await panel.getByRole("button", { name: "Inpaint it" }).click();
  await page.getByLabel(/^Mask/).press("Space");
  await finish(page.locator("#inpaint"), { Variations: 1, Steps: 1 });
  await page.evaluate(() => {
    const ticks = [performance.now()];
    setInterval(() => ticks.push(performance.now()), 5);
    Object.assign(globalThis, { ticks });
  });
  await finish(page.locator("#inpaint"), { Variations: 16, Steps: 100 });
  const [longest, whole] = await page.evaluate(() => {
    const { ticks } = globalThis as unknown as { ticks: number[] };
    const gaps = ticks.slice(1).map((tick, number) => tick - ticks[number]!);
    return [Math.max(...gaps), ticks.at(-1)! - ticks[0]!];
  });
  // The graph runs all steps in one call, which would be one gap as long as nearly the whole.
  expect(longest).toBeLessThan(whole / 4);
});

test("memory is flat over 50 generations", async ({ page, browser }) => {
  await open(page, "second-order.bundle");
  const panel = page.locator("#generate");
  const bytesAfter = async (generations: number) => {
    for (let time = 0; time < generations; time++) {
      await finish(panel, { Pictures: 10, Steps: 4 });
    }
    await page.evaluate(collectGarbage);
    // The first worker is ours; the others are onnxruntime's threads, which never answer.
    await page.workers()[0]!.evaluate(collectGarbage);
    return rendererBytes(browser);
  };
  const before = await bytesAfter(10);
  const after = await bytesAfter(50);
  // What 50 generations hand from step to step is 53 MB; memory itself varies by some 5.
  expect(after - before).toBeLessThan(16 * 2 ** 20);
});

const collectGarbage = () => (globalThis as unknown as { gc(): void }).gc();

/** The memory of the pages' processes, their workers and WebAssembly included. */
async function rendererBytes(browser: Browser): Promise<number> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const renderers = processInfo.filter(({ type }) => type === "renderer");
  return renderers.reduce((sum, { id }) => {
    const status = readFileSync(`/proc/${id}/status`, "utf8");
    const parts = [...status.matchAll(/Rss(?:Anon|Shmem):\s+(\d+)/g)];
    return parts.reduce((bytes, [, kilobytes]) => bytes + 1024 * Number(kilobytes), sum);
  }, 0);
}
