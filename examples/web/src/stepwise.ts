/**
 * Sampling step by step: the noise goes into step.onnx, and its outputs are its next inputs.
 *
 * All mathematics is in the graphs. Carried tensors are matched by their place alone.
 */

import type { Tensor } from "onnxruntime-web";
import type { Engine, Feeds } from "./engine";
import type { ImageShape, Pixels } from "./messages";
import { SMALL } from "./tiles";

/**
 * Yields the images [N,H,W,C] after each step 0 … steps − 1, for noise [N,…] and its seeds.
 *
 * Every step gets the inputs `fixed` unchanged. A second stage runs after the last step alone.
 */
export async function* stepwise(
  engine: Engine,
  shape: ImageShape,
  noise: Tensor,
  seeds: BigInt64Array,
  steps: number,
  fixed: Feeds,
): AsyncGenerator<Pixels> {
  const taken = engine.inputs("step").slice(2);
  const names = taken.filter((name) => !(name in fixed));
  let carried = names.map((name) => firstOf(name, engine, noise, seeds));
  for (let step = 0; step < steps; step++) {
    const feeds = Object.fromEntries(names.map((name, place) => [name, carried[place]!]));
    const outputs = await engine.run("step", {
      step: scalar(engine, step),
      steps: scalar(engine, steps),
      ...feeds,
      ...fixed,
    });
    carried = outputs.slice(0, -1);
    const result = outputs.at(-1)!;
    const isPreview = engine.has("upscaler") && step < steps - 1;
    yield isPreview ? await preview(result, shape) : await finished(engine, result, seeds, fixed);
  }
}

/** The images of a step's result: what a decoder or a second stage makes of it, if there is one. */
async function finished(engine: Engine, result: Tensor, seeds: BigInt64Array, fixed: Feeds): Promise<Pixels> {
  const name = ["decoder", "upscaler"].find((each) => engine.has(each));
  if (name === undefined) return (await result.getData()) as Pixels;
  const known: Feeds = { ...fixed, seeds: ofSeeds(engine, seeds), latents: result, [SMALL]: result };
  const feeds = Object.fromEntries(engine.inputs(name).map((input) => [input, known[input]!]));
  const [images] = await engine.run(name, feeds);
  return (await images!.getData()) as Pixels;
}

/** Small pictures as images: each pixel becomes a square. */
async function preview(small: Tensor, [height, width, channels]: ImageShape): Promise<Pixels> {
  const pixels = (await small.getData()) as Float32Array;
  const [count, rows, columns] = small.dims as [number, number, number];
  const factor = height / rows;
  const images = new Float32Array(count * height * width * channels);
  for (let place = 0; place < count * height * width; place++) {
    const [y, x] = [Math.floor(place / width), place % width];
    const from = (Math.floor(y / factor) * columns + Math.floor(x / factor)) * channels;
    images.set(pixels.subarray(from, from + channels), place * channels);
  }
  return images;
}

/** The inputs of the first step: the noise, the seeds, and zeros for all others. */
function firstOf(name: string, engine: Engine, noise: Tensor, seeds: BigInt64Array): Tensor {
  if (name === "noisy") return noise;
  if (name === "seeds") return ofSeeds(engine, seeds);
  return new engine.runtime.Tensor("float32", new Float32Array(noise.size), noise.dims);
}

function ofSeeds(engine: Engine, seeds: BigInt64Array): Tensor {
  return new engine.runtime.Tensor("int64", seeds, [seeds.length]);
}

/** A whole number as int64[]. */
export function scalar(engine: Engine, value: number): Tensor {
  return new engine.runtime.Tensor("int64", BigInt64Array.of(BigInt(value)), []);
}
