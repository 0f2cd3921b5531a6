/** The panel that repaints the marked parts of a picture. */

import { type App, showMessage } from "./app";
import type { Bundle } from "./bundle";
import { byId, find } from "./dom";
import { MaskEditor } from "./mask";
import type { Pixels } from "./messages";
import { draw, fromFile } from "./pixels";
import { setUpSeeds } from "./seeds";
import { showTab } from "./tabs";

/** Returns a function that shows the panel with an image in it. */
export function setUpInpainting(app: App): (image: Pixels) => void {
  const panel = byId("inpaint", HTMLElement);
  const easel = setUpEasel(panel, find(panel, "form", HTMLFormElement), app);
  app.onOpen((bundle) => {
    easel.clear();
    showMissing(panel, bundle);
  });
  setUpSeeds(app, panel, easel.show, (numbers) => {
    const { image, mask } = easel;
    if (image !== undefined && mask !== undefined) {
      return { kind: "inpaint", image, mask, ...numbers };
    }
    showMessage("Choose a picture, and mark on it the parts to repaint.");
    return undefined;
  });
  return easel.show;
}

function setUpEasel(panel: HTMLElement, form: HTMLFormElement, app: App) {
  const root = find(panel, ".easel", HTMLElement);
  const layer = find(root, ".picture-layer", HTMLCanvasElement);
  const brush = find(form, ".brush", HTMLInputElement);
  const editor = new MaskEditor(
    root,
    () => Number(brush.value),
    () => new FormData(form).get("mode") === "erase",
  );
  let image: Pixels | undefined;
  const show = (chosen: Pixels) => {
    image = chosen;
    const { width, height } = app.manifest;
    draw(layer, chosen, app.manifest);
    editor.reset(width, height);
    root.classList.add("filled");
    showTab("tab-inpaint");
    root.scrollIntoView({ block: "nearest" });
  };
  const clear = () => {
    image = undefined;
    root.classList.remove("filled");
  };
  const file = find(form, ".picture", HTMLInputElement);
  file.addEventListener("change", () => {
    const chosen = file.files?.[0];
    if (chosen === undefined) return;
    fromFile(chosen, app.manifest).then(show, () =>
      showMessage(`${chosen.name} is not a picture that this browser can read`),
    );
    file.value = "";
  });
  find(form, ".clear", HTMLButtonElement).addEventListener("click", () => editor.clear());
  return {
    show,
    clear,
    get image() {
      return image;
    },
    /** A copy, or undefined while nothing is marked. */
    get mask() {
      return editor.isEmpty ? undefined : editor.mask.slice();
    },
  };
}

function showMissing(panel: HTMLElement, bundle: Bundle): void {
  const missing = !bundle.has("inpaint");
  const message = find(panel, "[data-missing]", HTMLElement);
  message.hidden = !missing;
  message.textContent =
    "This bundle holds no inpaint graph. Export the model again with " +
    "diffkiln-export … --graphs=sampler,noise,step,inpaint";
  const start = find(panel, "[type=submit]", HTMLButtonElement);
  start.classList.toggle("start", !missing);
  start.disabled = missing;
}
