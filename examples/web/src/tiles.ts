/** The tiles of a picture that is larger than the network's: docs/bundle.md, "Larger pictures". */

import type { Pixels } from "./messages";

/** The condition that tiles are enlarged from. */
export const SMALL = "low_resolution";

/** Tiles along one side of a canvas: where each starts, and what each of its pixels counts. */
export interface Side {
  readonly size: number;
  readonly starts: readonly number[];
  readonly weights: readonly Float64Array[];
}

/** Tiles of `size` along `length`; both are multiples of `factor`, and so are all starts. */
export function side(length: number, size: number, factor: number): Side {
  const step = Math.max(1, Math.floor(((size / factor) * 3) / 4)) * factor;
  const starts: number[] = [];
  for (let start = 0; start < length - size; start += step) starts.push(start);
  starts.push(length - size);
  const window = Float64Array.from({ length: size }, (_, y) => Math.sin((Math.PI * (y + 0.5)) / size) ** 2);
  const total = new Float64Array(length);
  for (const start of starts) window.forEach((weight, y) => (total[start + y]! += weight));
  const weights = starts.map((start) => window.map((weight, y) => weight / total[start + y]!));
  return { size, starts, weights };
}

/** Tiles in rows and columns, counted row by row, on canvases [height, width, channels]. */
export class Tiles {
  constructor(
    readonly rows: Side,
    readonly columns: Side,
    readonly channels: number,
  ) {}

  get count(): number {
    return this.rows.starts.length * this.columns.starts.length;
  }

  /** Tiles `first` … `end` − 1 of a canvas that is `factor` times smaller than others. */
  cut<Data extends Pixels>(canvas: Data, first: number, end: number, factor = 1): Data {
    const across = (this.columns.size / factor) * this.channels;
    const size = (this.rows.size / factor) * across;
    const tiles = new (canvas.constructor as new (length: number) => Data)((end - first) * size);
    for (let tile = first; tile < end; tile++) {
      for (const [y, from] of this.#lines(tile, factor).entries()) {
        tiles.set(canvas.subarray(from, from + across), (tile - first) * size + y * across);
      }
    }
    return tiles;
  }

  /** Adds tiles from `first` on to a canvas, by their weights. */
  add(sums: Float32Array, tiles: Pixels, first: number): void {
    const across = this.columns.size * this.channels;
    const size = this.rows.size * across;
    for (let tile = first; tile < first + tiles.length / size; tile++) {
      const [row, column] = this.#place(tile);
      for (const [y, to] of this.#lines(tile, 1).entries()) {
        const from = (tile - first) * size + y * across;
        for (let place = 0; place < across; place++) {
          const x = Math.floor(place / this.channels);
          const weight = this.rows.weights[row]![y]! * this.columns.weights[column]![x]!;
          sums[to + place]! += weight * tiles[from + place]!;
        }
      }
    }
  }

  /** Where each line of a tile begins in a canvas. */
  #lines(tile: number, factor: number): number[] {
    const { rows, columns, channels } = this;
    const [row, column] = this.#place(tile);
    const wide = (columns.starts.at(-1)! + columns.size) / factor;
    const [top, left] = [rows.starts[row]! / factor, columns.starts[column]! / factor];
    return Array.from({ length: rows.size / factor }, (_, y) => ((top + y) * wide + left) * channels);
  }

  #place(tile: number): [number, number] {
    const across = this.columns.starts.length;
    return [Math.floor(tile / across), tile % across];
  }
}
