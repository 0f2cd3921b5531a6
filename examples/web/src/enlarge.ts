/** The panel that enlarges a picture of any size. */

import { type App, showMessage } from "./app";
import { readConditioning, setClasses } from "./classes";
import { byId, find } from "./dom";
import { addDice, onSubmit, setSteps } from "./fields";
import type { Manifest } from "./manifest";
import type { Picture, Pixels } from "./messages";
import { draw, type Size, wholeFromFile } from "./pixels";
import { savePng } from "./samples";
import { SMALL } from "./tiles";

// More may not fit in the memory of a browser.
const MOST_PIXELS = 2 ** 24;

export function setUpEnlarging(app: App): void {
  const panel = byId("enlarge", HTMLElement);
  const form = find(panel, "form", HTMLFormElement);
  const stage = setUpStage(panel);
  let picture: Picture | undefined;
  addDice(form);
  app.onOpen(({ manifest }) => {
    picture = undefined;
    stage.clear();
    setSteps(form, manifest);
    setClasses(form, manifest);
    showMissing(panel, manifest);
  });
  const file = find(form, ".picture", HTMLInputElement);
  file.addEventListener("change", () => {
    const chosen = file.files?.[0];
    file.value = "";
    if (chosen === undefined) return;
    read(chosen, app.manifest).then(
      (read) => {
        picture = read;
        stage.show(read.pixels, { ...read, channels: app.manifest.channels });
      },
      (error: Error) => showMessage(error.message),
    );
  });
  onSubmit(
    form,
    (fields) => {
      const [seeds, steps] = [fields.seeds("seed"), fields.whole("steps")];
      const conditioning = readConditioning(fields, app.manifest, seeds, [SMALL]);
      return { seed: seeds[0]!, steps, conditioning };
    },
    (numbers) => {
      if (picture === undefined) return showMessage("Choose a picture to enlarge.");
      const factor = factorOf(app.manifest)!;
      const [height, width] = [picture.height * factor, picture.width * factor];
      const size = { height, width, channels: app.manifest.channels };
      void app.run({ kind: "upscale", picture, factor, ...numbers }, ({ images }) => {
        if (images !== undefined) stage.show(images, size, `enlarged-${numbers.seed}`);
      });
    },
  );
}

/** Shows one picture, which can be saved if it has a name. */
function setUpStage(panel: HTMLElement) {
  const canvas = find(panel, ".stage", HTMLCanvasElement);
  const save = find(panel, ".save-one", HTMLButtonElement);
  let saved = () => {};
  save.addEventListener("click", () => saved());
  return {
    show(image: Pixels, size: Size, name?: string): void {
      draw(canvas, image, size);
      canvas.hidden = false;
      save.disabled = name === undefined;
      if (name !== undefined) saved = () => void savePng([image], size, name);
    },
    clear(): void {
      canvas.hidden = save.disabled = true;
    },
  };
}

async function read(file: File, manifest: Manifest): Promise<Picture> {
  const picture = await wholeFromFile(file, manifest.channels).catch(() => undefined);
  if (picture === undefined) {
    throw new Error(`${file.name} is not a picture that this browser can read`);
  }
  const most = Math.floor(MOST_PIXELS / (factorOf(manifest) ?? 1) ** 2);
  const pixels = picture.height * picture.width;
  if (pixels > most) {
    throw new Error(`${file.name} has ${pixels} pixels, expected at most ${most}; use diffkiln-sample`);
  }
  return picture;
}

/** How many times larger the network makes a picture, if that is what it does. */
function factorOf({ conditions, height, width, channels, eta }: Manifest): number | undefined {
  const small = conditions.find(({ name, dtype }) => name === SMALL && dtype === "uint8");
  const factor = height / (small?.shape[0] ?? height);
  const expected = [height / factor, width / factor, channels];
  const fits = Number.isInteger(factor) && factor > 1 && small?.shape.join() === expected.join();
  return fits && eta === 0 ? factor : undefined;
}

function showMissing(panel: HTMLElement, manifest: Manifest): void {
  const missing = factorOf(manifest) === undefined;
  const message = find(panel, "[data-missing]", HTMLElement);
  message.hidden = !missing;
  message.textContent =
    "This bundle enlarges no pictures. Train a model with diffkiln-train --task=super_resolution, " +
    "and export it with --eta=0";
  const start = find(panel, "[type=submit]", HTMLButtonElement);
  start.classList.toggle("start", !missing);
  start.disabled = missing;
}
