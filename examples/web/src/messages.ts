/** The messages between the page and the worker. */

import type { Dtype } from "./manifest";

export type Backend = "wasm" | "webgpu";
export type Pixels = Uint8Array | Float32Array;

export type Numbers = Uint8Array<ArrayBuffer> | Float32Array<ArrayBuffer> | BigInt64Array<ArrayBuffer>;

/** Height, width and channels of one image. */
export type ImageShape = readonly [number, number, number];

/** A picture of any size, [height,width,C]. */
export interface Picture {
  pixels: Uint8Array<ArrayBuffer>;
  height: number;
  width: number;
}

/** A condition of all images. */
export interface Rows {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly numbers: Numbers;
}

/** The class of each image (−1 for none), the guidance, and conditions, as far as a model has them. */
export interface Conditioning {
  labels: BigInt64Array | undefined;
  guidance: number | undefined;
  conditions: readonly Rows[];
}

export type Job = { conditioning: Conditioning; steps: number } & (
  | { kind: "sample"; seeds: BigInt64Array }
  | { kind: "interpolate"; ends: BigInt64Array; frames: number }
  | {
      kind: "inpaint";
      /** One image [H,W,C], and its mask [H,W,1] where 0 keeps a pixel. */
      image: Pixels;
      mask: Uint8Array;
      seeds: BigInt64Array;
    }
  | { kind: "upscale"; picture: Picture; factor: number; seed: bigint }
);

/**
 * Images [N,H,W,C] from place `first` on, after `done` of `total` steps; or after `done` of `total`
 * batches, if one run of a graph makes all steps. There are none between the steps of a picture in
 * tiles.
 */
export interface Progress {
  first: number;
  images: Pixels | undefined;
  done: number;
  total: number;
  /** How long the last step took, and for how many images. */
  stepMs: number;
  together: number;
}

export type ToWorker =
  | { type: "start"; backend: Backend; shape: ImageShape }
  | { type: "graph"; name: string; content: ArrayBuffer }
  | { type: "run"; job: Job }
  | { type: "cancel" };

export type FromWorker =
  | { type: "started"; threads: number }
  | { type: "loaded"; name: string }
  | { type: "progress"; progress: Progress }
  | { type: "finished"; cancelled: boolean }
  | { type: "failed"; message: string };
