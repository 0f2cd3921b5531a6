/** The kinds of work that the worker does, each a series of progress reports. */

import type { Tensor } from "onnxruntime-web";
import { conditioningOf, drawNoise, pieces, repeated } from "./batches";
import type { Engine, Feeds } from "./engine";
import type { ImageShape, Job, Pixels, Progress } from "./messages";
import { slerp } from "./slerp";
import { scalar, stepwise } from "./stepwise";
import { upscale } from "./upscale";

type Reports = AsyncGenerator<Progress>;
type JobOf<Kind> = Extract<Job, { kind: Kind }>;

/** Does the work; stop iterating to cancel it. */
export function work(engine: Engine, shape: ImageShape, job: Job): Reports {
  if (job.kind === "sample") return sample(engine, shape, job);
  if (job.kind === "interpolate") return interpolate(engine, shape, job);
  if (job.kind === "upscale") return upscale(engine, shape, job);
  return inpaint(engine, shape, job);
}

async function* sample(engine: Engine, shape: ImageShape, job: JobOf<"sample">): Reports {
  const { seeds, steps } = job;
  const batches = pieces(seeds.length, shape);
  for (const [number, [first, end]] of batches.entries()) {
    const piece = seeds.slice(first, end);
    const noise = await drawNoise(engine, piece);
    const place = { first, done: number * steps, total: batches.length * steps };
    const fixed = conditioningOf(engine, job.conditioning, first, end);
    yield* steppedBatch(engine, shape, noise, piece, steps, fixed, place);
  }
}

async function* interpolate(engine: Engine, shape: ImageShape, job: JobOf<"interpolate">): Reports {
  const { Tensor } = engine.runtime;
  const drawn = await drawNoise(engine, job.ends);
  const ends = drawn.data as Float32Array;
  const size = ends.length / 2;
  const way = slerp(ends.subarray(0, size), ends.subarray(size), job.frames);
  const batches = pieces(job.frames, shape);
  for (const [number, [first, end]] of batches.entries()) {
    const piece = way.slice(first * size, end * size);
    const noise = new Tensor("float32", piece, [end - first, ...drawn.dims.slice(1)]);
    const place = { first, done: number * job.steps, total: batches.length * job.steps };
    // For a second stage: the first half of the frames has the noise of the first seed.
    const half = Math.ceil(job.frames / 2);
    const seeds = BigInt64Array.from({ length: end - first }, (_, place) => job.ends[first + place < half ? 0 : 1]!);
    const fixed = conditioningOf(engine, job.conditioning, first, end);
    yield* steppedBatch(engine, shape, noise, seeds, job.steps, fixed, place);
  }
}

async function* inpaint(engine: Engine, shape: ImageShape, job: JobOf<"inpaint">): Reports {
  const { Tensor } = engine.runtime;
  const type = job.image instanceof Uint8Array ? "uint8" : "float32";
  const [height, width] = shape;
  const batches = pieces(job.seeds.length, shape);
  for (const [number, [first, end]] of batches.entries()) {
    const count = end - first;
    const start = performance.now();
    const [inpainted] = await engine.run("inpaint", {
      images: new Tensor(type, repeated(job.image, count), [count, ...shape]),
      mask: new Tensor("uint8", repeated(job.mask, count), [count, height, width, 1]),
      seeds: new Tensor("int64", job.seeds.slice(first, end), [count]),
      steps: scalar(engine, job.steps),
      ...conditioningOf(engine, job.conditioning, first, end),
    });
    const stepMs = (performance.now() - start) / job.steps;
    const images = inpainted!.data as Pixels;
    yield { first, images, done: number + 1, total: batches.length, stepMs, together: count };
  }
}

/** Reports each step of one batch, whose first image and first step are at `place`. */
async function* steppedBatch(
  engine: Engine,
  shape: ImageShape,
  noise: Tensor,
  seeds: BigInt64Array,
  steps: number,
  fixed: Feeds,
  place: { first: number; done: number; total: number },
): Reports {
  let start = performance.now();
  let done = place.done;
  for await (const images of stepwise(engine, shape, noise, seeds, steps, fixed)) {
    const stepMs = performance.now() - start;
    yield { ...place, images, done: ++done, stepMs, together: seeds.length };
    start = performance.now();
  }
}
