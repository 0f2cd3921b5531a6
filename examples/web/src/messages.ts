/** The messages between the page and the worker. */

export type Backend = "wasm" | "webgpu";
export type Pixels = Uint8Array | Float32Array;

/** Height, width and channels of one image. */
export type ImageShape = readonly [number, number, number];

/** The class of each image (−1 for none), and the guidance. */
export interface Conditioning {
  labels: BigInt64Array;
  guidance: number;
}

/** All have a conditioning if the model knows classes. */
export type Job = { conditioning: Conditioning | undefined; steps: number } & (
  | { kind: "sample"; seeds: BigInt64Array }
  | { kind: "interpolate"; ends: BigInt64Array; frames: number }
  | {
      kind: "inpaint";
      /** One image [H,W,C], and its mask [H,W,1] where 0 keeps a pixel. */
      image: Pixels;
      mask: Uint8Array;
      seeds: BigInt64Array;
    }
);

/**
 * Images [N,H,W,C] from place `first` on, after `done` of `total` steps; or after `done` of `total`
 * batches, if one run of a graph makes all steps.
 */
export interface Progress {
  first: number;
  images: Pixels;
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
