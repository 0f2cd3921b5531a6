/** What a bundle draws, shown and saved: pictures, or arrays that are no pictures. */

import type { Manifest } from "./manifest";
import type { Pixels } from "./messages";
import { toNpy } from "./npy";
import { draw, type Size } from "./pixels";
import { plot, plotSize } from "./plot";
import { toPng } from "./png";

/** The size of the canvas that shows one. */
export function shownSize(manifest: Manifest): Pick<Manifest, "width" | "height"> {
  return manifest.array ? plotSize(manifest.array) : manifest;
}

/** Shows one on a canvas. */
export function show(canvas: HTMLCanvasElement, sample: Pixels, manifest: Manifest): void {
  if (manifest.array) plot(canvas, sample, manifest.array);
  else draw(canvas, sample, manifest);
}

/** Resizes a canvas to one, and leaves it empty. */
export function clear(canvas: HTMLCanvasElement, manifest: Manifest): void {
  Object.assign(canvas, shownSize(manifest));
}

/** Splits [N,…] into samples of their own. */
export function split(samples: Pixels, { height, width, channels }: Manifest): Pixels[] {
  const size = height * width * channels;
  return Array.from({ length: samples.length / size }, (_, number) =>
    samples.slice(number * size, (number + 1) * size),
  );
}

/** Saves one picture, or many in a grid, as NAME.png; arrays as NAME.npy, [N,…] if there are many. */
export async function save(samples: Pixels[], manifest: Manifest, name: string): Promise<void> {
  const { array } = manifest;
  if (array === undefined) return savePng(samples, manifest, name);
  const shape = samples.length > 1 ? [samples.length, ...array.shape] : array.shape;
  download(toNpy(shape, samples), `${name}.npy`);
}

export async function savePng(images: Pixels[], size: Size, name: string): Promise<void> {
  download(await toPng(images, size), `${name}.png`);
}

function download(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // Later, because the browser still has to read it.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
