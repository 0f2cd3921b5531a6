/**
 * Sampling step by step: the noise goes into step.onnx, and its outputs are its next inputs.
 *
 * All mathematics is in the graphs. Carried tensors are matched by their place alone.
 */

import type { Tensor } from "onnxruntime-web";
import type { Engine, Feeds } from "./engine";
import type { Pixels } from "./messages";

/**
 * Yields the images [N,H,W,C] after each step 0 … steps − 1, for noise [N,…] and its seeds.
 *
 * Every step gets the inputs `fixed` unchanged.
 */
export async function* stepwise(
  engine: Engine,
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
    const images = await decoded(engine, outputs.at(-1)!);
    yield (await images.getData()) as Pixels;
  }
}

/** The images of a step's result: those of its latents, if the bundle has a decoder. */
async function decoded(engine: Engine, result: Tensor): Promise<Tensor> {
  if (!engine.has("decoder")) return result;
  const [images] = await engine.run("decoder", { latents: result });
  return images!;
}

/** The inputs of the first step: the noise, the seeds, and zeros for all others. */
function firstOf(name: string, engine: Engine, noise: Tensor, seeds: BigInt64Array): Tensor {
  const { Tensor } = engine.runtime;
  if (name === "noisy") return noise;
  if (name === "seeds") return new Tensor("int64", seeds, [seeds.length]);
  return new Tensor("float32", new Float32Array(noise.size), noise.dims);
}

/** A whole number as int64[]. */
export function scalar(engine: Engine, value: number): Tensor {
  return new engine.runtime.Tensor("int64", BigInt64Array.of(BigInt(value)), []);
}
