/** Draws the pictures of some seeds and saves them, as a visitor would: for benchmarks/gallery.py. */

import { expectStatus, finish, test } from "./page";

test("the gallery's pictures", async ({ page }) => {
  const given = (name: string) => process.env[name]!;
  await page.goto("/");
  await page.getByLabel("Choose a folder").setInputFiles(given("WEB_BUNDLE"));
  await expectStatus(page, "Ready");
  const panel = page.locator("#generate");
  await finish(panel, {
    "Seed of the first picture": given("WEB_SEED"),
    Pictures: given("WEB_COUNT"),
    Steps: given("WEB_STEPS"),
  });
  const download = page.waitForEvent("download");
  await panel.getByRole("button", { name: "Save all as one PNG" }).click();
  await (await download).saveAs(given("WEB_PICTURE"));
});
