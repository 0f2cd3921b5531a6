/** What the tests do with the page, as a person would. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test as base, expect, type Locator, type Page } from "@playwright/test";

/** Fails a test in which anything on the page fails unseen. */
export const test = base.extend({
  page: async ({ page }, use) => {
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(error.message));
    await use(page);
    expect(errors).toEqual([]);
  },
});

export { expect };

/** Opens a bundle of the site by its address, and waits until it is ready. */
export async function open(page: Page, bundle = "full.bundle"): Promise<void> {
  await page.goto(`/?bundle=${bundle}`);
  await expectStatus(page, "Ready");
}

export const expectStatus = (page: Page, text: string | RegExp) =>
  expect(page.getByRole("status")).toContainText(text);

/** Fills a panel's fields by their labels and starts it. */
export async function start(panel: Locator, values: Record<string, string | number>) {
  for (const [label, value] of Object.entries(values)) {
    await panel.getByLabel(label, { exact: true }).fill(String(value));
  }
  await panel.locator("[type=submit]").click();
}

export async function finish(panel: Locator, values: Record<string, string | number>) {
  await start(panel, values);
  await expectStatus(panel.page(), "Done");
}

/** The RGBA levels of a panel's pictures, or of other canvases in it, one after the other. */
export async function levels(panel: Locator, canvas = ".tile canvas"): Promise<number[]> {
  return panel.locator(canvas).evaluateAll((canvases) =>
    (canvases as HTMLCanvasElement[]).flatMap((canvas) => {
      const context = canvas.getContext("2d")!;
      return [...context.getImageData(0, 0, canvas.width, canvas.height).data];
    }),
  );
}

/** The largest difference in levels from the pictures that Python made of the same. */
export async function differenceFromPython(
  panel: Locator,
  name: string,
  canvas?: string,
): Promise<number> {
  const expected = readFileSync(join(process.env["WEB_EXPECTED"]!, `${name}.rgba`));
  const received = await levels(panel, canvas);
  expect(received.length).toBe(expected.length);
  return received.reduce((most, level, i) => Math.max(most, Math.abs(level - expected[i]!)), 0);
}
