/** Saves pictures as PNG files, one or many in a grid, with exactly the pixels of the model. */

import type { Pixels } from "./messages";
import { type Size, toImageData } from "./pixels";

// The same as in the grids that diffkiln-sample writes.
const GAP = 2;

export async function savePng(images: Pixels[], size: Size, name: string): Promise<void> {
  const columns = Math.ceil(Math.sqrt(images.length));
  const rows = Math.ceil(images.length / columns);
  const [across, down] = [size.width + GAP, size.height + GAP];
  const canvas = new OffscreenCanvas(columns * across - GAP, rows * down - GAP);
  const context = canvas.getContext("2d")!;
  context.fillStyle = "white";
  if (images.length > 1) context.fillRect(0, 0, canvas.width, canvas.height);
  images.forEach((image, index) => {
    const [column, row] = [index % columns, Math.floor(index / columns)];
    context.putImageData(toImageData(image, size), column * across, row * down);
  });
  download(await canvas.convertToBlob({ type: "image/png" }), name);
}

function download(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // Later, because the browser still has to read it.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
