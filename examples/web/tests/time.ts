/** Times what a visitor waits for, for benchmarks/web_page.py: milliseconds as JSON in WEB_TIMES. */

import { writeFileSync } from "node:fs";
import { finish, open, test } from "./page";

interface Way {
  bundle: string;
  steps: number;
}

test("opening, a first picture, another guidance and twenty pictures", async ({ page }) => {
  test.setTimeout(3_600_000);
  const ways: Way[] = JSON.parse(process.env["WEB_WAYS"]!);
  const rounds: Record<string, number>[][] = [];
  for (let round = 0; round < Number(process.env["WEB_ROUNDS"]); round++) {
    const times = [];
    for (const { bundle, steps } of ways) {
      const passed = async (task: Promise<unknown>) => {
        const started = performance.now();
        await task;
        return performance.now() - started;
      };
      const panel = page.locator("#generate");
      const draw = (count: number, guidance: number) =>
        passed(finish(panel, { Pictures: count, Steps: steps, Guidance: guidance }));
      times.push({
        open: await passed(open(page, bundle)),
        first: await draw(1, 2),
        guidance: await draw(1, 1.5),
        twenty: await draw(20, 2),
      });
    }
    rounds.push(times);
  }
  writeFileSync(process.env["WEB_TIMES"]!, JSON.stringify(rounds));
});
