import { differenceFromPython, expect, expectStatus, finish, open, start, test } from "./page";

const file = (name: string) => `${process.env["WEB_EXPECTED"]}/${name}.png`;

test("enlarged pictures are Python's, in one tile and in many", async ({ page }) => {
  await open(page, "enlarging.bundle");
  await page.getByRole("tab", { name: "Enlarge" }).click();
  const panel = page.locator("#enlarge");
  for (const [name, width] of [
    ["small", "53"],
    ["smallest", "14"],
  ] as const) {
    await panel.getByLabel("Choose a picture").setInputFiles(file(name));
    await expect(panel.locator(".stage")).toHaveAttribute("width", width);
    await finish(panel, { Seed: "9223372036854775807", Steps: 3 });
    // One level of 255: the network's kernels add in another order than Python's.
    expect(await differenceFromPython(panel, `${name}-enlarged`, ".stage")).toBeLessThanOrEqual(1);
  }
  const download = page.waitForEvent("download");
  await panel.getByRole("button", { name: "Save picture" }).click();
  expect((await download).suggestedFilename()).toBe("enlarged-9223372036854775807.png");
});

test("enlarging is cancelled between two batches of tiles", async ({ page }) => {
  await open(page, "enlarging.bundle");
  await page.getByRole("tab", { name: "Enlarge" }).click();
  const panel = page.locator("#enlarge");
  await panel.getByLabel("Choose a picture").setInputFiles(file("small"));
  await expect(panel.locator(".stage")).toBeVisible();
  await start(panel, { Steps: 1000 });
  await expect(page.getByText(/^[1-9]\d* of \d000/)).toBeVisible();
  await page.keyboard.press("Escape");
  await expectStatus(page, "Cancelled");
});

test("what is missing is said", async ({ page }) => {
  await open(page, "enlarging.bundle");
  await page.getByRole("tab", { name: "Enlarge" }).click();
  const panel = page.locator("#enlarge");
  await start(panel, { Steps: 1 });
  await expect(page.locator("#message")).toHaveText("Choose a picture to enlarge.");
  await open(page, "full.bundle");
  await page.getByRole("tab", { name: "Enlarge" }).click();
  await expect(panel.getByText(/enlarges no pictures/)).toBeVisible();
  await expect(panel.locator("[type=submit]")).toBeDisabled();
});
