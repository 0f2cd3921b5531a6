/** The panel that draws the pictures of some seeds. */

import type { App } from "./app";
import { byId } from "./dom";
import type { Pixels } from "./messages";
import { setUpSeeds } from "./seeds";

export function setUpGenerating(app: App, inpaint: (image: Pixels) => void): void {
  const panel = byId("generate", HTMLElement);
  setUpSeeds(app, panel, inpaint, (numbers) => ({ kind: "sample", ...numbers }));
}
