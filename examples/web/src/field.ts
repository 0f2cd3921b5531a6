/** The noise of pictures of any size: docs/bundle.md, "Larger pictures". */

import { drawNoise, pieces } from "./batches";
import type { Engine } from "./engine";
import type { ImageShape } from "./messages";

/** The first rows and columns of a seed's field [tall, wide, channels]. */
export async function noiseField(
  engine: Engine,
  shape: ImageShape,
  seed: bigint,
  tall: number,
  wide: number,
): Promise<Float32Array> {
  const [height, width, channels] = shape;
  const field = new Float32Array(tall * wide * channels);
  const across = Math.ceil(wide / width);
  for (const [first, end] of pieces(across * Math.ceil(tall / height), shape)) {
    const places = Array.from({ length: end - first }, (_, number) => [
      Math.floor((first + number) / across),
      (first + number) % across,
    ]) as [number, number][];
    const seeds = await Promise.all(places.map(([row, column]) => blockSeed(seed, row, column)));
    const blocks = (await drawNoise(engine, BigInt64Array.from(seeds))).data as Float32Array;
    for (const [number, [row, column]] of places.entries()) {
      const length = Math.min(width, wide - column * width) * channels;
      for (let y = 0; y < Math.min(height, tall - row * height); y++) {
        const from = (number * height + y) * width * channels;
        const to = ((row * height + y) * wide + column * width) * channels;
        field.set(blocks.subarray(from, from + length), to);
      }
    }
  }
  return field;
}

async function blockSeed(seed: bigint, row: number, column: number): Promise<bigint> {
  if (row === 0 && column === 0) return seed;
  const text = new TextEncoder().encode(`${seed},${row},${column}`);
  const digest = new DataView(await crypto.subtle.digest("SHA-256", text));
  return BigInt(digest.getUint32(0) % 2 ** 31);
}
