/**
 * Enlarges a picture of any size with a network that was trained to do so.
 *
 * All tiles take a step before any of them takes the next one: docs/bundle.md, "Larger pictures".
 */

import { conditioningOf, pieces } from "./batches";
import type { Engine, Feeds } from "./engine";
import { noiseField } from "./field";
import type { ImageShape, Job, Picture, Pixels, Progress } from "./messages";
import { scalar } from "./stepwise";
import { side, SMALL, Tiles } from "./tiles";

type UpscaleJob = Extract<Job, { kind: "upscale" }>;

/** Reports each batch of tiles, and the picture after each step. */
export async function* upscale(engine: Engine, shape: ImageShape, job: UpscaleJob): AsyncGenerator<Progress> {
  const [height, width, channels] = shape;
  const { factor, steps } = job;
  const small = mirrored(job.picture, height / factor, width / factor, channels);
  const [tall, wide] = [small.height * factor, small.width * factor];
  const tiles = new Tiles(side(tall, height, factor), side(wide, width, factor), channels);
  const batches = pieces(tiles.count, shape);
  const noise = await noiseField(engine, shape, job.seed, tall, wide);
  let carried = firstOf(engine, job, noise);
  for (let step = 0; step < steps; step++) {
    const sums = [...carried.keys(), "images"].map(() => new Float32Array(noise.length));
    for (const [number, [first, end]] of batches.entries()) {
      const start = performance.now();
      const feeds = conditioningOf(engine, ofTiles(job, end - first), 0, end - first);
      feeds["step"] = scalar(engine, step);
      feeds["steps"] = scalar(engine, steps);
      const { Tensor } = engine.runtime;
      const size = [end - first, height / factor, width / factor, channels];
      feeds[SMALL] = new Tensor("uint8", tiles.cut(small.pixels, first, end, factor), size);
      for (const [name, canvas] of carried) {
        feeds[name] = new Tensor("float32", tiles.cut(canvas, first, end), [end - first, ...shape]);
      }
      const isFloat = await addOutputs(engine, feeds, tiles, sums, first);
      const done = step * batches.length + number + 1;
      const isWhole = number === batches.length - 1;
      const images = isWhole ? imageOf(sums.at(-1)!, wide, job, channels, isFloat) : undefined;
      const stepMs = performance.now() - start;
      yield { first: 0, images, done, total: steps * batches.length, stepMs, together: 1 };
    }
    carried = new Map([...carried.keys()].map((name, place) => [name, sums[place]!]));
  }
}

/** What the first step gets, by name: the noise, and zeros for what a solver remembers. */
function firstOf(engine: Engine, job: UpscaleJob, noise: Float32Array): Map<string, Float32Array> {
  const others = new Set([...Object.keys(conditioningOf(engine, job.conditioning, 0, 1)), SMALL]);
  const names = engine.inputs("step").slice(2).filter((name) => !others.has(name));
  return new Map(
    names.map((name) => [name, name === "noisy" ? noise : new Float32Array(noise.length)]),
  );
}

/** Takes a step with some tiles, and adds each output to its sum; whether images are floats. */
async function addOutputs(
  engine: Engine,
  feeds: Feeds,
  tiles: Tiles,
  sums: readonly Float32Array[],
  first: number,
): Promise<boolean> {
  let isFloat = false;
  for (const [place, output] of (await engine.run("step", feeds)).entries()) {
    tiles.add(sums[place]!, (await output.getData()) as Pixels, first);
    isFloat = output.type === "float32";
    output.dispose();
  }
  return isFloat;
}

/** The picture's class for each of some tiles. */
function ofTiles({ conditioning }: UpscaleJob, count: number): UpscaleJob["conditioning"] {
  const label = conditioning.labels?.[0];
  const labels = label === undefined ? undefined : new BigInt64Array(count).fill(label);
  return { ...conditioning, labels };
}

/** The part of a canvas that the picture fills, as an image of the bundle's kind. */
function imageOf(
  canvas: Float32Array,
  wide: number,
  { picture, factor }: UpscaleJob,
  channels: number,
  isFloat: boolean,
): Pixels {
  const across = picture.width * factor * channels;
  // A clamped array rounds to the nearest level, and halves to the even one, as Python does.
  const Levels = isFloat ? Float32Array : Uint8ClampedArray;
  const image = new Levels(picture.height * factor * across);
  for (let y = 0; y < picture.height * factor; y++) {
    const from = y * wide * channels;
    image.set(canvas.subarray(from, from + across), y * across);
  }
  return image instanceof Float32Array ? image : new Uint8Array(image.buffer);
}

/** Continues a picture that is smaller than a tile, below and to the right. */
function mirrored(picture: Picture, height: number, width: number, channels: number): Picture {
  const [tall, wide] = [Math.max(picture.height, height), Math.max(picture.width, width)];
  const pixels = new Uint8Array(tall * wide * channels);
  for (let y = 0; y < tall; y++) {
    for (let x = 0; x < wide; x++) {
      const from = inside(y, picture.height) * picture.width + inside(x, picture.width);
      const pixel = picture.pixels.subarray(from * channels, (from + 1) * channels);
      pixels.set(pixel, (y * wide + x) * channels);
    }
  }
  return { pixels, height: tall, width: wide };
}

function inside(place: number, length: number): number {
  const folded = place % (2 * length);
  return folded < length ? folded : 2 * length - 1 - folded;
}
