import AxeBuilder from "@axe-core/playwright";
import { expect, expectStatus, finish, open, start, test } from "./page";

test("all by keyboard: open, generate, select, go to another tab", async ({ page }) => {
  await page.goto("/");
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to the content" })).toBeFocused();
  for (let presses = 0; presses < 3; presses++) await page.keyboard.press("Tab");
  await page.keyboard.type("full.bundle");
  await page.keyboard.press("Enter");
  await expectStatus(page, "Ready");
  await page.getByLabel("Seed of the first picture").focus();
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.type("40");
  await page.keyboard.press("Enter");
  await expectStatus(page, "Done");
  await page.getByRole("option", { name: "seed 40" }).focus();
  await page.keyboard.press("ArrowRight");
  await expect(page.getByRole("option", { name: "seed 41" })).toBeFocused();
  await page.keyboard.press("End");
  await expect(page.getByRole("option", { name: "seed 51", selected: true })).toBeFocused();
  await page.getByRole("tab", { name: "Generate" }).focus();
  await page.keyboard.press("ArrowRight");
  await expect(page.getByRole("tab", { name: "Interpolate", selected: true })).toBeFocused();
  await expect(page.getByLabel("From seed")).toBeVisible();
});

test("a number out of range is refused beneath its field", async ({ page }) => {
  await open(page, "bare.bundle");
  const panel = page.locator("#generate");
  for (const [name, value, expected] of [
    ["seed", "9223372036854775805", "a whole number from 0 to 9223372036854775804"],
    ["seed", "-1", "received “-1”, expected a whole number from 0"],
    ["count", "0", "from 1 to 64"],
    ["steps", "1001", "from 1 to 1000"],
    ["steps", "", "Steps: received nothing, expected a whole number from 1 to 1000"],
  ] as const) {
    await panel.locator("form").evaluate((form) => (form as HTMLFormElement).reset());
    await panel.getByLabel("Steps").fill("1");
    await panel.locator("[name=count]").fill("4");
    await panel.locator(`[name=${name}]`).fill(value);
    await page.keyboard.press("Enter");
    await expect(panel.locator(".field-error")).toContainText(expected);
    await expect(panel.locator(`[name=${name}]`)).toBeFocused();
  }
  await start(panel, { Pictures: 4, Steps: 1, "Seed of the first picture": "9223372036854775804" });
  await expectStatus(page, "Done");
  await expect(panel.locator(".field-error")).toBeHidden();
});

test("beside the pictures, no field sticks out of its form", async ({ page }) => {
  await open(page, "full.bundle");
  for (const name of ["Generate", "Interpolate", "Inpaint", "Enlarge"]) {
    await page.getByRole("tab", { name }).click();
    const outside = await page.locator("form.controls:visible").evaluate((form) => {
      const edge = form.getBoundingClientRect().right;
      const fields = [...form.querySelectorAll("input, button")];
      return fields.filter((field) => field.getBoundingClientRect().right > edge).length;
    });
    expect(outside, name).toBe(0);
  }
});

for (const colorScheme of ["light", "dark"] as const) {
  test(`accessible, and no wider than a phone: ${colorScheme}`, async ({ page }) => {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize({ width: 360, height: 740 });
    await page.goto("/");
    await expectAccessible();
    // It has the most fields.
    await open(page, "classes.bundle");
    await finish(page.locator("#generate"), { Pictures: 4, Steps: 1 });
    for (const name of ["Generate", "Interpolate", "Inpaint", "Enlarge"]) {
      await page.getByRole("tab", { name }).click();
      await expectAccessible();
    }

    async function expectAccessible(): Promise<void> {
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(wide).toBeLessThanOrEqual(0);
      const { violations } = await new AxeBuilder({ page }).analyze();
      expect(violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)])).toEqual([]);
    }
  });
}
