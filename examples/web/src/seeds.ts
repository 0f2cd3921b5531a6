/** A panel whose form asks for seeds, and whose grid shows the picture of each. */

import type { App } from "./app";
import { readConditioning, setClasses, titleOf } from "./classes";
import { find } from "./dom";
import { addDice, onSubmit, setSteps } from "./fields";
import { ImageGrid } from "./grid";
import type { Manifest } from "./manifest";
import type { Job, Pixels, Conditioning } from "./messages";
import { setUpToolbar } from "./toolbar";

/** The form's numbers. */
export interface Numbers {
  seeds: BigInt64Array;
  steps: number;
  conditioning: Conditioning;
}

/**
 * `paint` receives a picture to paint on; `jobOf` returns the job, or undefined if there is none yet.
 * The form does not ask for the conditions that `jobOf` makes, whose names `made` returns.
 */
export function setUpSeeds(
  app: App,
  panel: HTMLElement,
  paint: (image: Pixels) => void,
  jobOf: (numbers: Numbers) => Job | undefined,
  made: (manifest: Manifest) => readonly string[] = () => [],
): void {
  const form = find(panel, "form", HTMLFormElement);
  const grid = new ImageGrid(find(panel, ".grid", HTMLElement));
  setUpToolbar(panel, grid, app, paint);
  addDice(form);
  app.onOpen(({ manifest }) => {
    setSteps(form, manifest);
    setClasses(form, manifest);
    grid.reset([], manifest);
  });
  onSubmit(
    form,
    (fields) => {
      const seeds = fields.seeds("seed", fields.whole("count"));
      const steps = fields.whole("steps");
      const { manifest } = app;
      const conditioning = readConditioning(fields, manifest, seeds, made(manifest));
      return { seeds, steps, conditioning };
    },
    (numbers) => {
      const job = jobOf(numbers);
      if (job === undefined) return;
      const titles = [...numbers.seeds].map((seed, place) =>
        titleOf(seed, numbers.conditioning.labels?.[place], app.manifest),
      );
      grid.reset(titles, app.manifest);
      void app.run(job, ({ first, images }) => grid.put(first, images!));
    },
  );
}
