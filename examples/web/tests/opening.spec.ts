import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, expectStatus, finish, open, start, test } from "./page";

const site = process.env["WEB_SITE"]!;

const REFUSED = [
  ["altered", /step\.onnx was altered: its SHA-256 is [0-9a-f]{64}, expected [0-9a-f]{64}/],
  ["truncated", /step\.onnx has 1000 bytes, expected \d+: truncated/],
  ["longer", /step\.onnx has more than \d+ bytes: altered/],
  ["missing", /noise\.onnx is missing, though bundle\.json lists it/],
  ["newer", /'format_version' is 7, expected at most 6: the bundle was written by a newer diffkiln/],
  ["four-axes", /'array': 'shape' is \[1, 2, 13, 3\], with 3 means and 3 deviations, expected 1 to 3 axes/],
  ["foreign", /'format' is "something", expected 'diffkiln-bundle'/],
  ["list", /bundle\.json is \[\], expected an object/],
  ["garbled", /bundle\.json is not JSON/],
  ["outside", /the path '\.\.\/full\.bundle\/noise\.onnx' leads out of the bundle/],
  ["stepless", /holds no graph 'step', only sampler, noise; .* --graphs=sampler,noise,step/],
  ["uneven", /'then': 'factor' is 5, expected one above 1 that divides 32 and 24; export the model again/],
  ["half", /holds no graph 'upscaler', only sampler, from_noise, noise, step; /],
  ["nowhere", /nowhere\.bundle holds no bundle\.json/],
] as const;

test("a broken bundle is refused, and what is wrong with it is said", async ({ page }) => {
  for (const [bundle, message] of REFUSED) {
    await page.goto(`/?bundle=${bundle}.bundle`);
    await expect(page.locator("#message"), bundle).toHaveText(message);
  }
});

test("an address of no server", async ({ page }) => {
  await page.goto("/?bundle=http://localhost:9/x.bundle");
  await expect(page.locator("#message")).toHaveText(/cannot be fetched; check the address/);
});

test("a folder from disk, after a wrong one", async ({ page }) => {
  await page.goto("/");
  await page.getByLabel("Choose a folder").setInputFiles(join(site, "assets"));
  await expect(page.locator("#message")).toHaveText(/^assets holds no bundle\.json/);
  await page.getByLabel("Choose a folder").setInputFiles(join(site, "full.bundle"));
  await expectStatus(page, "Ready");
  await expect(page.locator("#message")).toBeHidden();
  await expect(page.locator("#summary")).toHaveText(/^full\.bundle · 16 × 16 · /);
  await finish(page.locator("#generate"), { Pictures: 1, Steps: 1 });
  await expect(page).not.toHaveURL(/bundle/);
});

test("files that are dropped", async ({ page }) => {
  await page.goto("/");
  const files = ["bundle.json", "noise.onnx", "step.onnx"].map((name) => [
    name,
    readFileSync(join(site, "full.bundle", name)).toString("base64"),
  ]);
  const transfer = await page.evaluateHandle((contents) => {
    const data = new DataTransfer();
    for (const [name, base64] of contents) {
      const bytes = Uint8Array.from(atob(base64!), (character) => character.charCodeAt(0));
      data.items.add(new File([bytes], name!));
    }
    return data;
  }, files);
  await page.dispatchEvent("#drop", "drop", { dataTransfer: transfer });
  await expectStatus(page, "Ready");
  await page.getByRole("tab", { name: "Inpaint" }).click();
});

test("a bundle without inpainting says how to have it", async ({ page }) => {
  await open(page, "bare.bundle");
  await page.getByRole("tab", { name: "Inpaint" }).click();
  await expect(page.getByText(/--graphs=sampler,noise,step,inpaint/)).toBeVisible();
  await expect(page.locator("#inpaint [type=submit]")).toBeDisabled();
});

test("fresh noise cannot be interpolated", async ({ page }) => {
  await open(page, "fresh.bundle");
  await page.getByRole("tab", { name: "Interpolate" }).click();
  await expect(page.getByText(/export the model with --eta=0/)).toBeVisible();
  await expect(page.locator("#interpolate [type=submit]")).toBeDisabled();
});

test("another bundle takes the place of the first, which was busy", async ({ page }) => {
  await open(page);
  await start(page.locator("#generate"), { Pictures: 2, Steps: 1000 });
  await expect(page.getByText(/^[1-9]\d* of 1000/)).toBeVisible();
  await page.getByRole("button", { name: "Open another bundle" }).click();
  await page.getByLabel("Or its address").fill("bare.bundle/bundle.json");
  await page.getByRole("button", { name: "Open", exact: true }).click();
  await expect(page.locator("#summary")).toHaveText(/^bare\.bundle/);
  // So that a reload or a link opens the same page.
  await expect(page).toHaveURL(/\?bundle=bare\.bundle/);
  await expect(page.locator("#generate .tile")).toHaveCount(0);
  await expectStatus(page, "Ready");
  await finish(page.locator("#generate"), { Pictures: 1, Steps: 1 });
  await expect(page.locator("#message")).toBeHidden();
});
