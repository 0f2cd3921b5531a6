/**
 * Draws the pictures or arrays of some seeds and saves them, as a visitor would: for
 * benchmarks/gallery.py and tests/examples/test_arrays.py.
 */

import { expectStatus, test } from "./page";

test("what a visitor draws", async ({ page }) => {
  const given = (name: string) => process.env[name]!;
  await page.goto("/");
  await page.getByLabel("Choose a folder").setInputFiles(given("WEB_BUNDLE"));
  await expectStatus(page, "Ready");
  const panel = page.locator("#generate");
  for (const name of ["seed", "count", "steps"]) {
    await panel.locator(`[name=${name}]`).fill(given(`WEB_${name.toUpperCase()}`));
  }
  await panel.locator("[type=submit]").click();
  await expectStatus(page, "Done");
  const download = page.waitForEvent("download");
  await panel.getByRole("button", { name: /^Save all/ }).click();
  await (await download).saveAs(given("WEB_PICTURE"));
});
