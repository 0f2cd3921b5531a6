/** The panel that draws the pictures of some seeds. */

import type { App } from "./app";
import { byId, find } from "./dom";
import { addDice, onSubmit, setSteps } from "./fields";
import { ImageGrid } from "./grid";
import type { Pixels } from "./messages";
import { setUpToolbar } from "./toolbar";

export function setUpGenerating(app: App, inpaint: (image: Pixels) => void): void {
  const panel = byId("generate", HTMLElement);
  const form = find(panel, "form", HTMLFormElement);
  const grid = new ImageGrid(find(panel, ".grid", HTMLElement));
  setUpToolbar(panel, grid, app, inpaint);
  addDice(form);
  app.onOpen(({ manifest }) => {
    setSteps(form, manifest.defaultSteps, manifest.maxSteps);
    grid.reset([], manifest);
  });
  onSubmit(
    form,
    (fields) => {
      const count = fields.whole("count");
      return { seeds: fields.seeds("seed", count), steps: fields.whole("steps") };
    },
    ({ seeds, steps }) => {
      grid.reset([...seeds].map((seed) => `seed ${seed}`), app.manifest);
      const job = { kind: "sample", seeds, steps } as const;
      void app.run(job, ({ first, images }) => grid.put(first, images));
    },
  );
}
