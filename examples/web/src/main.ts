/** Puts the parts of the page together. */

import { App } from "./app";
import type { Bundle } from "./bundle";
import { setUpConditions } from "./conditions";
import { byId } from "./dom";
import { setUpEnlarging } from "./enlarge";
import { setUpGenerating } from "./generate";
import { setUpInpainting } from "./inpaint";
import { setUpInterpolating } from "./interpolate";
import type { Manifest } from "./manifest";
import type { Backend } from "./messages";
import { setUpOpening } from "./open";
import { showTab, setUpTabs } from "./tabs";

const SOLVER_NAMES: Readonly<Record<string, string>> = {
  ddim: "DDIM",
  dpmpp_2m: "DPM-Solver++(2M)",
};

const app = new App();
setUpTabs(document.querySelector<HTMLElement>("[role=tablist]")!);
setUpGenerating(app, setUpInpainting(app));
setUpInterpolating(app);
setUpEnlarging(app);
setUpConditions(app);
setUpOpening((bundle) => {
  app.open(bundle);
  showWorkspace(bundle);
  void app.prepare();
});
byId("other", HTMLButtonElement).addEventListener("click", () => {
  app.close();
  setOpened(false);
});
void setUpBackends();

function showWorkspace({ name, manifest }: Bundle): void {
  const { height, width, array, parameters, solver, classNames } = manifest;
  const shape = array ? `arrays of [${array.shape.join(", ")}]` : `${width} × ${height}`;
  const millions = `${(parameters / 1e6).toFixed(1)} million`;
  const size = `${parameters < 1e5 ? parameters : millions} parameters`;
  const parts = [name, shape, size, SOLVER_NAMES[solver] ?? solver];
  if (classNames.length > 0) parts.push(`${classNames.length} classes`);
  byId("summary", HTMLElement).textContent = parts.join(" · ");
  suit(manifest);
  setOpened(true);
  showTab("tab-generate");
}

/** Shows what index.html has for pictures only, and its other words for arrays. */
function suit({ array }: Manifest): void {
  for (const element of document.querySelectorAll<HTMLElement>("[data-of-pictures-only]")) {
    element.hidden = array !== undefined;
  }
  for (const element of document.querySelectorAll<HTMLElement>("[data-of-arrays]")) {
    const { dataset } = element;
    dataset["ofPictures"] ??= element.textContent ?? "";
    element.textContent = (array ? dataset["ofArrays"] : dataset["ofPictures"]) ?? "";
  }
}

function setOpened(opened: boolean): void {
  byId("open", HTMLElement).hidden = opened;
  for (const id of ["workspace", "status", "other"]) byId(id, HTMLElement).hidden = !opened;
}

/** Offers WebGPU only if there is an adapter: many browsers have the interface without one. */
async function setUpBackends(): Promise<void> {
  const select = byId("backend", HTMLSelectElement);
  const gpu = select.querySelector<HTMLOptionElement>("[value=webgpu]")!;
  select.addEventListener("change", () => void app.use(select.value as Backend));
  if (!(await hasGpu())) {
    gpu.disabled = true;
    gpu.textContent += " (not in this browser)";
  }
}

async function hasGpu(): Promise<boolean> {
  const gpu = (navigator as { gpu?: { requestAdapter(): Promise<unknown> } }).gpu;
  return !!(await gpu?.requestAdapter().catch(() => null));
}
