import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, finish, levels, open, test } from "./page";

/** Saves what a button offers where test_web.py compares it with Python's. */
async function save(page: Page, button: string, name: string): Promise<void> {
  const download = page.waitForEvent("download");
  await page.getByRole("tabpanel").getByRole("button", { name: button }).click();
  expect((await download).suggestedFilename()).toMatch(/\.npy$/);
  await (await download).saveAs(join(process.env["WEB_EXPECTED"]!, `${name}.npy`));
}

for (const [name, width, height] of [
  ["arrays", 320, 200],
  ["vectors", 320, 200],
  ["fields", 10, 6],
  ["bands", 9, 12],
] as const) {
  test(`arrays that are no pictures are plotted and saved: ${name}`, async ({ page }) => {
    await open(page, `${name}.bundle`);
    const panel = page.locator("#generate");
    await finish(panel, { "Seed of the first array": 3, Arrays: 2, Steps: 5 });
    const shown = await levels(panel);
    expect(shown.length).toBe(2 * 4 * width * height);
    expect(shown.slice(shown.length / 2)).not.toEqual(shown.slice(0, shown.length / 2));
    await save(page, "Save all as one .npy", name);
    await save(page, "Save array", `${name}-one`);

    await page.getByRole("tab", { name: "Interpolate" }).click();
    await finish(page.locator("#interpolate"), { "From seed": 3, "To seed": 4, Frames: 5, Steps: 5 });
    await save(page, "Save all as one .npy", `${name}-way`);
  });
}

test("each number of an array is plotted in its place", async ({ page }) => {
  const content = await page.request.get("/fields.bundle/bundle.json");
  const { mean, std } = ((await content.json()) as { array: { mean: number[]; std: number[] } }).array;
  expect(mean.length).toBe(2);
  await open(page, "fields.bundle");
  const panel = page.locator("#generate");
  await finish(panel, { Arrays: 1, Steps: 5 });
  const download = page.waitForEvent("download");
  await panel.getByRole("button", { name: "Save array" }).click();
  const stream = await (await download).createReadStream();
  const file = Buffer.concat(await stream.toArray());
  const numbers = new Float32Array(file.buffer.slice(file.byteOffset + 128, file.byteOffset + file.length));
  const shown = await levels(panel);
  for (let y = 0; y < 6; y++) {
    for (let x = 0; x < 10; x++) {
      const [column, channel] = [x % 5, Math.floor(x / 5)];
      const number = numbers[(y * 5 + column) * 2 + channel]!;
      const deviations = (number - mean[channel]!) / std[channel]!;
      const grey = 127.5 * (1 + Math.min(1, Math.max(-1, deviations / 4)));
      expect(Math.abs(shown[4 * (y * 10 + x)]! - grey)).toBeLessThanOrEqual(0.51);
    }
  }
});

test("a bundle of pictures after one of arrays has its words and tabs back", async ({ page }) => {
  await open(page, "arrays.bundle");
  await expect(page.locator("#summary")).toHaveText(/^arrays\.bundle · arrays of \[13, 3\] · /);
  await expect(page.getByRole("tab")).toHaveText(["Generate", "Interpolate"]);
  await page.getByRole("tab", { name: "Generate" }).press("ArrowLeft");
  await expect(page.getByRole("tab", { name: "Interpolate", selected: true })).toBeFocused();
  await page.getByRole("button", { name: "Open another bundle" }).click();
  await page.getByLabel("Or its address").fill("full.bundle");
  await page.keyboard.press("Enter");
  await expect(page.getByLabel("Pictures", { exact: true })).toBeVisible();
  await expect(page.getByRole("tab")).toHaveCount(4);
  await expect(page.locator("#generate .save-one")).toHaveText("Save picture");
});
