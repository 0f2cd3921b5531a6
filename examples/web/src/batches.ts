/** What all kinds of work share: the size of a batch, its noise, and what its images show. */

import type { Tensor } from "onnxruntime-web";
import type { Engine, Feeds } from "./engine";
import type { Conditioning, ImageShape, Numbers, Pixels } from "./messages";

// Larger batches are hardly faster on a CPU, and progress would show less often.
const PIXELS_TOGETHER = 8 * 64 * 64;
const IMAGES_TOGETHER = 16;

export async function drawNoise(engine: Engine, seeds: BigInt64Array): Promise<Tensor> {
  const tensor = new engine.runtime.Tensor("int64", seeds, [seeds.length]);
  return (await engine.run("noise", { seeds: tensor }))[0]!;
}

/** The inputs for what images `first` … `end` − 1 show. */
export function conditioningOf(
  engine: Engine,
  { labels, guidance, conditions }: Conditioning,
  first: number,
  end: number,
): Feeds {
  const { Tensor } = engine.runtime;
  const feeds: Feeds = {};
  if (labels) feeds["labels"] = new Tensor("int64", labels.slice(first, end), [end - first]);
  if (guidance !== undefined) {
    feeds["guidance"] = new Tensor("float32", Float32Array.of(guidance), []);
  }
  for (const { name, dtype, shape, numbers } of conditions) {
    const rows = repeated(numbers, end - first);
    feeds[name] = new Tensor(dtype, rows, [end - first, ...shape]);
  }
  return feeds;
}

/** Where each batch begins and ends. */
export function pieces(count: number, [height, width]: ImageShape): [number, number][] {
  const fitting = Math.floor(PIXELS_TOGETHER / (height * width));
  const size = Math.min(IMAGES_TOGETHER, Math.max(1, fitting));
  return Array.from({ length: Math.ceil(count / size) }, (_, number) => [
    number * size,
    Math.min(count, (number + 1) * size),
  ]);
}

export function repeated<Data extends Pixels | Numbers>(data: Data, count: number): Data {
  const all = new (data.constructor as new (length: number) => Data)(count * data.length);
  for (let copy = 0; copy < count; copy++) all.set(data as never, copy * data.length);
  return all;
}
