/** Plots of arrays that are no pictures, in standard deviations from the mean of the data. */

import type { ArrayFormat } from "./manifest";

type Plot = Pick<HTMLCanvasElement, "width" | "height">;
/** Number `place` of an array, in deviations from its mean, from −1 to 1 within the reach of a plot. */
type Level = (place: number) => number;

// Of a normal distribution, one number in 16,000 lies further out.
const REACH = 4;
const LINES: Plot = { width: 320, height: 200 };
// More would cover each other.
const MOST_LINES = 8;
const LARGEST_SIDE = 1024;

/** [D] is a line, [T,C] a line for each of up to 8 entries; all others are maps of grey. */
const hasLines = ({ shape }: ArrayFormat) =>
  shape.length === 1 || (shape.length === 2 && shape[1]! <= MOST_LINES);

export function plotSize(format: ArrayFormat): Plot {
  if (hasLines(format)) return LINES;
  const { across, down, count } = mapOf(format);
  return {
    width: Math.min(LARGEST_SIDE, across * count),
    height: Math.min(LARGEST_SIDE, down),
  };
}

export function plot(canvas: HTMLCanvasElement, numbers: ArrayLike<number>, format: ArrayFormat): void {
  const { mean, std } = format;
  const level: Level = (place) => {
    const entry = place % mean.length;
    const deviations = (numbers[place]! - mean[entry]!) / std[entry]!;
    return Math.min(1, Math.max(-1, deviations / REACH));
  };
  // This also wipes it.
  Object.assign(canvas, plotSize(format));
  if (hasLines(format)) drawLines(canvas, level, format);
  else drawMaps(canvas, level, format);
}

function drawLines(canvas: HTMLCanvasElement, level: Level, { shape }: ArrayFormat): void {
  const context = canvas.getContext("2d")!;
  const [points, lines] = [shape[0]!, shape[1] ?? 1];
  const x = (point: number) => ((point + 0.5) / points) * canvas.width;
  const y = (height: number) => (0.5 - 0.48 * height) * canvas.height;
  const line = (style: string, heightAt: (point: number) => number) => {
    context.strokeStyle = style;
    context.beginPath();
    for (let point = 0; point < points; point++) context.lineTo(x(point), y(heightAt(point)));
    context.stroke();
  };
  // So that a line of one point shows as well.
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = 1;
  line("gray", () => 0);
  context.lineWidth = 3;
  for (let entry = 0; entry < lines; entry++) {
    line(`hsl(${20 + (360 * entry) / lines} 75% 50%)`, (point) => level(point * lines + entry));
  }
}

/** How many maps lie side by side, their sizes, and where a point of one is in the array. */
function mapOf({ shape }: ArrayFormat) {
  const [rows, columns, channels] = shape as readonly [number, number, number?];
  if (channels === undefined) {
    // Time runs to the right, and the first entry is the lowest, as in a spectrogram.
    const place = (x: number, y: number) => x * columns + (columns - 1 - y);
    return { across: rows, down: columns, count: 1, place };
  }
  const place = (x: number, y: number) =>
    (y * columns + (x % columns)) * channels + Math.floor(x / columns);
  return { across: columns, down: rows, count: channels, place };
}

function drawMaps(canvas: HTMLCanvasElement, level: Level, format: ArrayFormat): void {
  const { across, down, count, place } = mapOf(format);
  const { width, height } = canvas;
  const image = new ImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const x = Math.floor(((pixel % width) * across * count) / width);
    const y = Math.floor((Math.floor(pixel / width) * down) / height);
    image.data.fill(127.5 * (1 + level(place(x, y))), pixel * 4, pixel * 4 + 3);
    image.data[pixel * 4 + 3] = 255;
  }
  canvas.getContext("2d")!.putImageData(image, 0, 0);
}
