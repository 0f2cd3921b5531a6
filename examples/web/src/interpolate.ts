/** The panel that interpolates between the pictures of two seeds. */

import type { App } from "./app";
import { readConditioning, setClasses } from "./classes";
import { byId, find } from "./dom";
import { onSubmit, setSteps } from "./fields";
import { ImageGrid } from "./grid";
import { clear, save, show } from "./samples";

const FRAME_MS = 90;

export function setUpInterpolating(app: App): void {
  const panel = byId("interpolate", HTMLElement);
  const form = find(panel, "form", HTMLFormElement);
  const grid = new ImageGrid(find(panel, ".grid", HTMLElement));
  const player = setUpPlayer(panel, grid, app);
  find(panel, ".save-all", HTMLButtonElement).addEventListener("click", () => {
    void save(grid.images, app.manifest, "interpolation");
  });
  app.onOpen(({ manifest }) => {
    setSteps(form, manifest);
    setClasses(form, manifest);
    grid.reset([], manifest);
    find(form, ".hint", HTMLElement).hidden = manifest.eta !== 0;
    refuseFreshNoise(form, manifest.eta);
  });
  onSubmit(
    form,
    (fields) => {
      const [from, to] = [fields.seeds("from")[0]!, fields.seeds("to")[0]!];
      const [frames, steps] = [fields.whole("frames"), fields.whole("steps")];
      // All frames show one class: otherwise the animation would jump.
      const conditioning = readConditioning(fields, app.manifest, new BigInt64Array(frames).fill(from));
      return { ends: BigInt64Array.of(from, to), frames, steps, conditioning };
    },
    (numbers) => {
      player.stop();
      const titles = Array.from({ length: numbers.frames }, (_, frame) => `frame ${frame + 1}`);
      grid.reset(titles, app.manifest);
      void app.run({ kind: "interpolate", ...numbers }, ({ first, images }) => grid.put(first, images!));
    },
  );
}

/** Interpolation needs one draw of noise; fresh noise in each step has none. */
function refuseFreshNoise(form: HTMLFormElement, eta: number): void {
  const message = find(form, ".field-error", HTMLElement);
  message.hidden = eta === 0;
  message.textContent = `This bundle draws fresh noise in each step (eta ${eta}), so there is \
nothing to interpolate; export the model with --eta=0`;
  const start = find(form, "[type=submit]", HTMLButtonElement);
  start.classList.toggle("start", eta === 0);
  start.disabled = eta !== 0;
}

/** Shows the selected frame enlarged, and plays the frames back and forth. */
function setUpPlayer(panel: HTMLElement, grid: ImageGrid, app: App): { stop(): void } {
  const stage = find(panel, ".stage", HTMLCanvasElement);
  const scrub = find(panel, ".scrub", HTMLInputElement);
  const play = find(panel, ".play", HTMLButtonElement);
  const save = find(panel, ".save-all", HTMLButtonElement);
  let timer: number | undefined;
  let way = 1;
  grid.onchange = () => {
    const image = grid.selectedImage;
    play.disabled = scrub.disabled = save.disabled = !image;
    stage.hidden = grid.isEmpty;
    scrub.max = String(Math.max(0, grid.images.length - 1));
    scrub.value = String(grid.selected);
    if (image) show(stage, image, app.manifest);
    else if (!grid.isEmpty) clear(stage, app.manifest);
  };
  const stop = () => {
    clearInterval(timer);
    timer = undefined;
    play.textContent = "Play";
    play.ariaPressed = "false";
  };
  const advance = () => {
    const last = grid.images.length - 1;
    if (grid.selected + way < 0 || grid.selected + way > last) way = -way;
    grid.select(Math.min(last, Math.max(0, grid.selected + way)));
  };
  play.addEventListener("click", () => {
    if (timer !== undefined) return stop();
    timer = window.setInterval(advance, FRAME_MS);
    play.textContent = "Pause";
    play.ariaPressed = "true";
  });
  scrub.addEventListener("input", () => grid.select(Number(scrub.value)));
  return { stop };
}
