import { differenceFromPython, expect, expectStatus, finish, open, test } from "./page";

// Chromium's own software GPU: WebGPU as it is, only slow, and on every machine.
test.use({
  launchOptions: async ({ launchOptions }, use) => {
    const args = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];
    await use({ ...launchOptions, args });
  },
});

test("pictures are Python's on WebGPU too", async ({ page }) => {
  await open(page);
  await page.getByLabel("Runs on").selectOption("webgpu");
  await expect(page.getByText(/^WebGPU, noise on WebAssembly/)).toBeVisible();
  await expectStatus(page, "Ready");
  const panel = page.locator("#generate");
  await finish(panel, { "Seed of the first picture": "9223372036854775807", Pictures: 1, Steps: 5 });
  expect(await differenceFromPython(panel, "sample-1-5")).toBeLessThanOrEqual(1);
  // Its steps draw noise themselves, which is never left to a GPU.
  await page.getByRole("button", { name: "Open another bundle" }).click();
  await page.getByLabel("Or its address").fill("fresh.bundle");
  await page.getByRole("button", { name: "Open", exact: true }).click();
  await expect(page.getByText(/^WebAssembly, \d+ threads$/)).toBeVisible();
  await expectStatus(page, "Ready");
  await finish(page.locator("#generate"), { "Seed of the first picture": 3, Pictures: 2, Steps: 2 });
});
