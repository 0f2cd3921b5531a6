/** PNG files of pictures, one or many in a grid, with exactly the pixels of the model. */

import type { Pixels } from "./messages";
import { type Size, toImageData } from "./pixels";

// The same as in the grids that diffkiln-sample writes.
const GAP = 2;

export async function toPng(images: Pixels[], size: Size): Promise<Blob> {
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
  return canvas.convertToBlob({ type: "image/png" });
}
