/** The page's end of the worker: starts it, hands it graphs as they are needed, runs jobs. */

import type { Bundle } from "./bundle";
import { steppedGraphs } from "./manifest";
import type { Backend, FromWorker, Job, Progress, ToWorker } from "./messages";
import type { OnBytes } from "./source";

/** Called with the name of a file, and how much of it has arrived. */
export type OnFile = (file: string, ...bytes: Parameters<OnBytes>) => void;

export class CancelledError extends Error {}

export class Sampler {
  #worker: Worker | undefined;
  #closing = new AbortController();
  #stop = () => {};
  readonly #loaded = new Set<string>();
  #threads = 1;

  constructor(
    readonly bundle: Bundle,
    readonly backend: Backend,
    private readonly onFile: OnFile,
  ) {}

  get threads(): number {
    return this.#threads;
  }

  /** Fetches, checks and loads the graphs that the job needs, unless they are there already. */
  async prepare(kind: Job["kind"]): Promise<void> {
    this.#stop = () => this.close();
    if (this.#worker === undefined) await this.#start();
    const { manifest } = this.bundle;
    for (const name of kind === "inpaint" ? ["inpaint"] : steppedGraphs(manifest)) {
      if (this.#loaded.has(name)) continue;
      const file = manifest.graphs.get(name)?.file ?? name;
      const content = await this.bundle.graph(name, (...bytes) => this.onFile(file, ...bytes));
      await this.#ask({ type: "graph", name, content }, [content]);
      this.#loaded.add(name);
    }
  }

  /** Runs a job; CancelledError if it was cancelled, or what onnxruntime says if it fails. */
  async run(job: Job, onProgress: (progress: Progress) => void): Promise<void> {
    await this.prepare(job.kind);
    // One run of inpaint.onnx or upscaler.onnx makes all steps; only ending the worker stops it.
    const isStepped = job.kind !== "inpaint" && this.bundle.manifest.factor === 1;
    if (isStepped) this.#stop = () => this.#worker?.postMessage({ type: "cancel" });
    const answer = await this.#ask({ type: "run", job }, [], onProgress);
    if (answer.type === "finished" && answer.cancelled) throw new CancelledError();
  }

  /** Ends the job: steps after the current one, everything else at once. */
  cancel(): void {
    this.#stop();
  }

  /** Ends the worker and frees its memory; the next job starts another. */
  close(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#loaded.clear();
    this.#closing.abort();
    this.#closing = new AbortController();
  }

  async #start(): Promise<void> {
    this.#worker = new Worker(new URL("./sampler.worker.ts", import.meta.url), { type: "module" });
    const { height, width, channels } = this.bundle.manifest;
    const shape = [height, width, channels] as const;
    const answer = await this.#ask({ type: "start", backend: this.backend, shape });
    if (answer.type === "started") this.#threads = answer.threads;
  }

  /** Sends a request and waits for its one answer; reports of progress come before that. */
  async #ask(
    request: ToWorker,
    transfer: Transferable[] = [],
    onProgress?: (progress: Progress) => void,
  ): Promise<FromWorker> {
    const worker = this.#worker;
    if (worker === undefined) throw new CancelledError();
    const answered = new AbortController();
    const { signal } = answered;
    try {
      return await new Promise((resolve, reject) => {
        const listen = ({ data }: MessageEvent<FromWorker>) => {
          if (data.type === "progress") onProgress?.(data.progress);
          else if (data.type === "failed") reject(new Error(data.message));
          else resolve(data);
        };
        worker.addEventListener("message", listen, { signal });
        const fail = ({ message }: ErrorEvent) => reject(new Error(message || "no worker came up"));
        worker.addEventListener("error", fail, { signal });
        const cancel = () => reject(new CancelledError());
        this.#closing.signal.addEventListener("abort", cancel, { signal });
        worker.postMessage(request, transfer);
      });
    } finally {
      answered.abort();
    }
  }
}
