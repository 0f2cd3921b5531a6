import { readFileSync } from "node:fs";
import type { Locator } from "@playwright/test";
import { differenceFromPython, expect, expectStatus, finish, levels, open, start, test } from "./page";

const picture = `${process.env["WEB_EXPECTED"]}/picture.png`;

test("pictures are Python's, whatever their seed, number and steps", async ({ page }) => {
  await open(page);
  const panel = page.locator("#generate");
  for (const [count, seed] of [
    [1, "9223372036854775807"],
    [7, "4294967293"],
  ] as const) {
    for (const steps of [1, 5, 20]) {
      await finish(panel, { "Seed of the first picture": seed, Pictures: count, Steps: steps });
      // One level of 255: the network's kernels add in another order than Python's.
      expect(await differenceFromPython(panel, `sample-${count}-${steps}`)).toBeLessThanOrEqual(1);
    }
  }
});

test("fresh noise and what solvers and tables carry are Python's too", async ({ page }) => {
  for (const bundle of ["fresh", "second-order", "lists", "learned", "guided", "latents", "cascade"]) {
    await open(page, `${bundle}.bundle`);
    const panel = page.locator("#generate");
    await finish(panel, { "Seed of the first picture": 3, Pictures: 2, Steps: 5 });
    expect(await differenceFromPython(panel, bundle)).toBeLessThanOrEqual(1);
  }
});

test("the frames between two seeds are Python's", async ({ page }) => {
  await open(page);
  await page.getByRole("tab", { name: "Interpolate" }).click();
  const panel = page.locator("#interpolate");
  await finish(panel, { "From seed": 3, "To seed": 4, Frames: 5, Steps: 5 });
  expect(await differenceFromPython(panel, "interpolate")).toBeLessThanOrEqual(1);
  await panel.getByRole("slider", { name: "Frame" }).fill("4");
  await expect(panel.getByRole("option", { name: "frame 5", selected: true })).toBeVisible();
});

test("the frames of two stages are Python's", async ({ page }) => {
  await open(page, "cascade.bundle");
  await page.getByRole("tab", { name: "Interpolate" }).click();
  const panel = page.locator("#interpolate");
  await finish(panel, { "From seed": 3, "To seed": 4, Frames: 5, Steps: 5 });
  expect(await differenceFromPython(panel, "cascade-way")).toBeLessThanOrEqual(1);
});

test("two stages show squares before the second stage, and cannot inpaint", async ({ page }) => {
  await open(page, "cascade.bundle");
  const panel = page.locator("#generate");
  await start(panel, { Pictures: 1, Steps: 1000 });
  await expect(page.getByText(/^[1-9]\d* of 1000/)).toBeVisible();
  await page.keyboard.press("Escape");
  await expectStatus(page, "Cancelled");
  const [width, height] = [24, 32];
  const received = await levels(panel);
  expect(received.length).toBe(4 * width * height);
  const corner = (place: number) => {
    const [pixel, channel] = [Math.floor(place / 4), place % 4];
    const [y, x] = [Math.floor(pixel / width), pixel % width];
    return received[4 * ((y - (y % 2)) * width + x - (x % 2)) + channel];
  };
  expect(received).toEqual(received.map((_, place) => corner(place)));
  expect(new Set(received).size).toBeGreaterThan(20);
  await finish(panel, { Pictures: 1, Steps: 1 });

  await page.getByRole("tab", { name: "Inpaint" }).click();
  await expect(page.getByText(/use the bundle of the first stage/)).toBeVisible();
  await expect(page.locator("#inpaint [type=submit]")).toBeDisabled();
  await page.getByRole("tab", { name: "Enlarge" }).click();
  await expect(page.locator("#enlarge [type=submit]")).toBeDisabled();
});

test("a picture inpainted under a mask drawn with the keyboard is Python's", async ({ page }) => {
  await open(page);
  await page.getByRole("tab", { name: "Inpaint" }).click();
  const panel = page.locator("#inpaint");
  await panel.getByLabel("Choose a picture").setInputFiles(picture);
  // Keys go to whatever has the focus, which only what can be seen may get.
  await expect(panel.getByLabel(/^Mask/)).toBeVisible();
  await panel.getByLabel(/^Mask/).press("ArrowRight");
  await page.keyboard.press("Space");
  await finish(panel, { Seed: 11, Variations: 3, Steps: 5 });
  expect(await differenceFromPython(panel, "inpaint")).toBeLessThanOrEqual(1);
});

test("a network that was trained to inpaint is told the picture and the mask", async ({ page }) => {
  await open(page, "painting.bundle");
  await page.getByRole("tab", { name: "Inpaint" }).click();
  const panel = page.locator("#inpaint");
  const small = `${process.env["WEB_EXPECTED"]}/to-paint.png`;
  await panel.getByLabel("Choose a picture").setInputFiles(small);
  await expect(panel.getByLabel(/^Mask/)).toBeVisible();
  await panel.getByLabel(/^Mask/).press("ArrowRight");
  await page.keyboard.press("Space");
  await finish(panel, { Seed: 11, Variations: 2, Steps: 5 });
  expect(await differenceFromPython(panel, "painted")).toBeLessThanOrEqual(1);
});

test("a picture of another shape is fitted as in Python", async ({ page }) => {
  for (const fit of ["pad", "stretch"]) {
    await open(page, `${fit}.bundle`);
    await page.getByRole("tab", { name: "Inpaint" }).click();
    const panel = page.locator("#inpaint");
    const wide = `${process.env["WEB_EXPECTED"]}/wide.png`;
    await panel.getByLabel("Choose a picture").setInputFiles(wide);
    await expect(panel.getByLabel(/^Mask/)).toBeVisible();
    expect(await differenceFromPython(panel, `wide-${fit}`, ".picture-layer")).toBe(0);
  }
});

test("classes are shown as in Python, of each seed and chosen by keyboard", async ({ page }) => {
  await open(page, "classes.bundle");
  const generate = page.locator("#generate");
  const classOf = (panel: Locator) => panel.getByRole("combobox", { name: "Class" });
  await expect(generate.getByLabel("Guidance")).toHaveValue("20");
  const numbers = { "Seed of the first picture": 9, Pictures: 2, Steps: 5 };
  await finish(generate, numbers);
  await expect(generate.getByRole("option", { name: "seed 10: cosmos" })).toBeVisible();
  expect(await differenceFromPython(generate, "classes-own")).toBeLessThanOrEqual(1);
  await classOf(generate).focus();
  await page.keyboard.type("dahl");
  await finish(generate, { ...numbers, Guidance: 40 });
  await expect(generate.getByRole("option", { name: "seed 10: dahlia" })).toBeVisible();
  expect(await differenceFromPython(generate, "classes-chosen")).toBeLessThanOrEqual(1);
  await classOf(generate).selectOption("none");
  await expect(generate.getByLabel("Guidance")).toBeDisabled();

  await page.getByRole("tab", { name: "Interpolate" }).click();
  const way = page.locator("#interpolate");
  await finish(way, { "From seed": 13, "To seed": 4, Frames: 3, Steps: 5 });
  expect(await differenceFromPython(way, "classes-way")).toBeLessThanOrEqual(1);

  await page.getByRole("tab", { name: "Inpaint" }).click();
  const inpaint = page.locator("#inpaint");
  await inpaint.getByLabel("Choose a picture").setInputFiles(picture);
  await expect(inpaint.getByLabel(/^Mask/)).toBeVisible();
  await inpaint.getByLabel(/^Mask/).press("ArrowRight");
  await page.keyboard.press("Space");
  await finish(inpaint, { Seed: 11, Variations: 3, Steps: 5 });
  expect(await differenceFromPython(inpaint, "classes-none")).toBeLessThanOrEqual(1);
  await classOf(inpaint).selectOption("lotus");
  await finish(inpaint, { Guidance: 40 });
  expect(await differenceFromPython(inpaint, "classes-inpaint")).toBeLessThanOrEqual(1);
});

test("conditions are given as numbers and files, for all kinds of pictures", async ({ page }) => {
  await open(page, "conditions.bundle");
  const given = page.locator("#conditions");
  const sketch = async (file: string) => {
    await given.getByLabel("sketch").setInputFiles(file);
    await expect(given.getByLabel("sketch")).toHaveAttribute("aria-busy", "false");
  };
  const generate = page.locator("#generate");
  const numbers = { "Seed of the first picture": 9, Pictures: 2, Steps: 5 };
  await start(generate, numbers);
  const wrong = generate.getByRole("alert");
  await expect(wrong).toHaveText("text: received nothing, expected float32 [2, 3]");
  await given.getByLabel("text: two words, as numbers").fill("1,2,3, 4,5,-.5");
  await given.getByLabel("age").fill("2");
  await start(generate, numbers);
  await expect(wrong).toHaveText("age: received 2, expected int64 [] from 3 to 9");
  await given.getByLabel("age").fill("4");
  await sketch(`${process.env["WEB_EXPECTED"]}/text.npy`);
  await start(generate, numbers);
  await expect(wrong).toHaveText("sketch: received text.npy, expected uint8 [6, 10, 1]");
  await sketch(`${process.env["WEB_EXPECTED"]}/sketch.npy`);
  await expect(generate.getByLabel("Guidance")).toHaveValue("3");
  await finish(generate, numbers);
  expect(await differenceFromPython(generate, "conditions-sample")).toBeLessThanOrEqual(1);
  await finish(generate, { ...numbers, Guidance: 1 });
  expect(await differenceFromPython(generate, "conditions-plain")).toBeLessThanOrEqual(1);

  await page.getByRole("tab", { name: "Interpolate" }).click();
  const way = page.locator("#interpolate");
  await finish(way, { "From seed": 13, "To seed": 4, Frames: 3, Steps: 5 });
  expect(await differenceFromPython(way, "conditions-way")).toBeLessThanOrEqual(1);

  await page.getByRole("tab", { name: "Inpaint" }).click();
  const inpaint = page.locator("#inpaint");
  await inpaint.getByLabel("Choose a picture").setInputFiles(picture);
  await expect(inpaint.getByLabel(/^Mask/)).toBeVisible();
  await inpaint.getByLabel(/^Mask/).press("ArrowRight");
  await page.keyboard.press("Space");
  await finish(inpaint, { Seed: 11, Variations: 3, Steps: 5 });
  expect(await differenceFromPython(inpaint, "conditions-inpaint")).toBeLessThanOrEqual(1);

  await sketch(picture);
  await finish(inpaint, { Variations: 1, Steps: 1 });
});

test("a model without classes has no fields for them", async ({ page }) => {
  await open(page, "classes.bundle");
  await expect(page.getByLabel("Guidance").first()).toBeVisible();
  await page.getByRole("button", { name: "Open another bundle" }).click();
  await page.getByLabel("Or its address").fill("full.bundle");
  await page.getByRole("button", { name: "Open", exact: true }).click();
  await expectStatus(page, "Ready");
  for (const field of await page.locator("[name=label], [name=guidance]").all()) {
    await expect(field).toBeHidden();
  }
  await finish(page.locator("#generate"), { Pictures: 1, Steps: 1 });
});

test("guidance is asked for within the bundle's range", async ({ page }) => {
  await open(page, "guided.bundle");
  const guidance = page.locator("#generate").getByLabel("Guidance");
  await expect(guidance).toHaveAttribute("min", "0.5");
  await expect(guidance).toHaveAttribute("max", "4");
});

test("a mask drawn with the pointer, and erased", async ({ page }) => {
  await open(page);
  await page.getByRole("tab", { name: "Inpaint" }).click();
  const panel = page.locator("#inpaint");
  await panel.getByLabel("Choose a picture").setInputFiles(picture);
  // A box is measured as it is, and there is none before the picture has been read.
  await expect(panel.getByLabel(/^Mask/)).toBeVisible();
  const stroke = async () => {
    const box = (await panel.getByLabel(/^Mask/).boundingBox())!;
    await page.mouse.move(box.x + box.width * 0.2, box.y + box.height * 0.5);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.8, box.y + box.height * 0.5);
    await page.mouse.up();
  };
  await stroke();
  await finish(panel, { Variations: 1, Steps: 2 });
  const inpainted = await levels(panel);
  const [above, across] = [inpainted.slice(0, 4 * 16), inpainted.slice(4 * 16 * 8, 4 * 16 * 9)];
  const kept = readFileSync(`${process.env["WEB_EXPECTED"]}/picture.rgba`);
  expect(above).toEqual([...kept.subarray(0, 4 * 16)]);
  expect(across).not.toEqual([...kept.subarray(4 * 16 * 8, 4 * 16 * 9)]);
  await panel.getByRole("radio", { name: "erases" }).check();
  await stroke();
  await panel.locator("[type=submit]").click();
  await expect(page.getByRole("alert").filter({ hasText: "mark on it" })).toBeVisible();
});

test("a generated picture goes on to be inpainted, and is saved", async ({ page }) => {
  await open(page);
  const panel = page.locator("#generate");
  await finish(panel, { Pictures: 2, Steps: 2 });
  const download = page.waitForEvent("download");
  await panel.getByRole("button", { name: "Save picture" }).click();
  const file = await (await download).path();
  const saved = await page.evaluate(async (base64) => {
    const response = await fetch(`data:image/png;base64,${base64}`);
    const bitmap = await createImageBitmap(await response.blob());
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d")!;
    context.drawImage(bitmap, 0, 0);
    return [...context.getImageData(0, 0, bitmap.width, bitmap.height).data];
  }, readFileSync(file).toString("base64"));
  expect(saved).toEqual((await levels(panel)).slice(0, saved.length));
  await panel.getByRole("button", { name: "Inpaint it" }).click();
  await expect(page.getByRole("tab", { name: "Inpaint" })).toHaveAttribute("aria-selected", "true");
  await page.getByLabel(/^Mask/).press("Space");
  await finish(page.locator("#inpaint"), { Variations: 1, Steps: 1 });
  await expectStatus(page, "Done");
});
