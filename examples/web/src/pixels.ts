/** Converts between a bundle's images, uint8 or float32 [H,W,C], and a canvas's RGBA. */

import type { Manifest } from "./manifest";
import type { Picture, Pixels } from "./messages";

/** The size of images, and what their levels are. */
type Format = Pick<Manifest, "height" | "width" | "channels" | "dtype">;

export type Size = Omit<Format, "dtype">;

/** Channels are grey, grey and alpha, RGB, or RGBA. */
export function toImageData(image: Pixels, format: Size): ImageData {
  const { height, width, channels } = format;
  const scale = image instanceof Float32Array ? 255 : 1;
  const picture = new ImageData(width, height);
  const [red, green, blue] = channels < 3 ? [0, 0, 0] : [0, 1, 2];
  const opaque = channels % 2 === 1;
  for (let pixel = 0; pixel < height * width; pixel++) {
    const from = pixel * channels;
    // A clamped array rounds to the nearest level, and halves to the even one, as Python does.
    picture.data[pixel * 4] = image[from + red]! * scale;
    picture.data[pixel * 4 + 1] = image[from + green]! * scale;
    picture.data[pixel * 4 + 2] = image[from + blue]! * scale;
    picture.data[pixel * 4 + 3] = opaque ? 255 : image[from + channels - 1]! * scale;
  }
  return picture;
}

/** The inverse; grey is the mean of the three colours. */
export function fromImageData(picture: ImageData, format: Format): Pixels {
  const { height, width, channels, dtype } = format;
  const size = height * width * channels;
  const image = dtype === "uint8" ? new Uint8Array(size) : new Float32Array(size);
  const scale = dtype === "uint8" ? 1 : 1 / 255;
  for (let pixel = 0; pixel < height * width; pixel++) {
    const [red, green, blue, alpha] = picture.data.subarray(pixel * 4, pixel * 4 + 4);
    const grey = Math.round((red! + green! + blue!) / 3);
    const levels = channels < 3 ? [grey] : [red!, green!, blue!];
    if (channels % 2 === 0) levels.push(alpha!);
    levels.forEach((level, channel) => (image[pixel * channels + channel] = level * scale));
  }
  return image;
}

/** A picture from disk in the format's size, over white unless it has alpha: see Manifest.fit. */
export async function fromFile(
  file: File,
  format: Format & Pick<Manifest, "fit">,
): Promise<Pixels> {
  const { height, width, channels, fit } = format;
  const bitmap = await createImageBitmap(file);
  const scales = [width / bitmap.width, height / bitmap.height] as const;
  const scale = fit === "pad" ? Math.min(...scales) : Math.max(...scales);
  const [byWidth, byHeight] = fit === "stretch" ? scales : [scale, scale];
  // Whole pixels, so that bars end where Python's do.
  const across = Math.max(1, Math.round(bitmap.width * byWidth));
  const down = Math.max(1, Math.round(bitmap.height * byHeight));
  const [left, top] = [Math.floor((width - across) / 2), Math.floor((height - down) / 2)];
  const context = new OffscreenCanvas(width, height).getContext("2d")!;
  if (channels % 2 === 1) {
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
  }
  context.imageSmoothingQuality = "high";
  // The canvas cuts off what is larger.
  context.drawImage(bitmap, left, top, across, down);
  bitmap.close();
  return fromImageData(context.getImageData(0, 0, width, height), format);
}

/** A picture from disk in its own size, over white unless there is alpha. */
export async function wholeFromFile(file: File, channels: number): Promise<Picture> {
  const bitmap = await createImageBitmap(file);
  const { height, width } = bitmap;
  const format = { height, width, channels, dtype: "uint8", fit: "crop" } as const;
  bitmap.close();
  const pixels = (await fromFile(file, format)) as Uint8Array<ArrayBuffer>;
  return { pixels, height, width };
}

/** Shows one image on a canvas, pixel by pixel. */
export function draw(canvas: HTMLCanvasElement, image: Pixels, size: Size): void {
  if (canvas.width !== size.width) canvas.width = size.width;
  if (canvas.height !== size.height) canvas.height = size.height;
  canvas.getContext("2d")!.putImageData(toImageData(image, size), 0, 0);
}
