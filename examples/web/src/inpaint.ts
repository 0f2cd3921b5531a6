/** The panel that repaints the marked parts of a picture. */

import { type App, showMessage } from "./app";
import type { Bundle } from "./bundle";
import { byId, find } from "./dom";
import type { Manifest } from "./manifest";
import { MaskEditor } from "./mask";
import type { Conditioning, Job, Pixels } from "./messages";
import { draw, fromFile } from "./pixels";
import { type Numbers, setUpSeeds } from "./seeds";
import { showTab } from "./tabs";

/** Returns a function that shows the panel with an image in it. */
export function setUpInpainting(app: App): (image: Pixels) => void {
  const panel = byId("inpaint", HTMLElement);
  const easel = setUpEasel(panel, find(panel, "form", HTMLFormElement), app);
  app.onOpen((bundle) => {
    easel.clear();
    showMissing(panel, bundle);
  });
  const jobOf = (numbers: Numbers): Job | undefined => {
    const { image, mask } = easel;
    if (image === undefined || mask === undefined) {
      showMessage("Choose a picture, and mark on it the parts to repaint.");
      return undefined;
    }
    const conditioning = withPainting(numbers.conditioning, app.manifest, image, mask);
    return { kind: "inpaint", image, mask, ...numbers, conditioning };
  };
  setUpSeeds(app, panel, easel.show, jobOf, made);
  return easel.show;
}

/** The conditions that tell a network the picture and the mask, if it was trained to inpaint. */
function made({ conditions, height, width, channels }: Manifest): readonly string[] {
  const shapes = { masked_image: [height, width, channels], paint_mask: [height, width, 1] };
  const fits = Object.entries(shapes).every(([name, shape]) =>
    conditions.some((each) => each.name === name && each.dtype === "uint8" && each.shape.join() === shape.join()),
  );
  return fits ? Object.keys(shapes) : [];
}

function withPainting(
  given: Conditioning,
  manifest: Manifest,
  image: Pixels,
  mask: Uint8Array,
): Conditioning {
  const scale = image instanceof Float32Array ? 255 : 1;
  const numbers: Record<string, Uint8Array<ArrayBuffer>> = {
    masked_image: Uint8Array.from(image, (level) => Math.round(level * scale)),
    paint_mask: Uint8Array.from(mask, (level) => (level === 0 ? 0 : 255)),
  };
  const names = made(manifest);
  const rows = manifest.conditions.filter(({ name }) => names.includes(name));
  const painting = rows.map((each) => ({ ...each, numbers: numbers[each.name]! }));
  return { ...given, conditions: [...given.conditions, ...painting] };
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
  const remedy =
    bundle.manifest.factor > 1
      ? "Pictures of two stages cannot be inpainted: use the bundle of the first stage"
      : "Export the model again with diffkiln-export … --graphs=sampler,noise,step,inpaint";
  message.textContent = `This bundle holds no inpaint graph. ${remedy}`;
  const start = find(panel, "[type=submit]", HTMLButtonElement);
  start.classList.toggle("start", !missing);
  start.disabled = missing;
}
