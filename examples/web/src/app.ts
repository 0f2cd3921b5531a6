/** The open bundle, and the one job that may run on it at a time. */

import type { Bundle } from "./bundle";
import { byId } from "./dom";
import { BundleError } from "./errors";
import type { Manifest } from "./manifest";
import type { Backend, Job, Progress } from "./messages";
import { CancelledError, Sampler } from "./sampler";
import * as status from "./status";

const message = byId("message", HTMLElement);

export class App {
  #sampler: Sampler | undefined;
  #backend: Backend = "wasm";
  readonly #listeners: ((bundle: Bundle) => void)[] = [];

  constructor() {
    status.onCancel(() => this.#sampler?.cancel());
  }

  get manifest(): Manifest {
    if (this.#sampler === undefined) throw new Error("no bundle is open");
    return this.#sampler.bundle.manifest;
  }

  /** Calls `listener` with every bundle that is opened. */
  onOpen(listener: (bundle: Bundle) => void): void {
    this.#listeners.push(listener);
  }

  open(bundle: Bundle): void {
    this.close();
    this.#sampler = this.#start(bundle);
    this.#listeners.forEach((listener) => listener(bundle));
  }

  close(): void {
    this.#sampler?.close();
    this.#sampler = undefined;
    status.setBusy(false);
  }

  /** Loads the graphs before they are asked for, so that a damaged one is reported at once. */
  async prepare(): Promise<void> {
    await this.#guarded("Loading the model …", async (sampler) => {
      await sampler.prepare("sample");
      return "Ready";
    });
  }

  /** Switches to another backend, which loads the graphs again. */
  async use(backend: Backend): Promise<void> {
    this.#backend = backend;
    if (this.#sampler === undefined) return;
    const { bundle } = this.#sampler;
    this.close();
    this.#sampler = this.#start(bundle);
    await this.prepare();
  }

  /** Steps that draw fresh noise stay on WebAssembly: a GPU's cosine is too coarse. */
  #start(bundle: Bundle): Sampler {
    const backend = bundle.manifest.eta === 0 ? this.#backend : "wasm";
    return new Sampler(bundle, backend, status.showBytes);
  }

  /** Runs a job, and shows any error. */
  async run(job: Job, onProgress: (progress: Progress) => void): Promise<void> {
    const start = performance.now();
    await this.#guarded("Working …", async (sampler) => {
      if (job.kind === "inpaint") status.showShare(undefined);
      await sampler.run(job, (progress) => {
        status.showProgress(progress);
        onProgress(progress);
      });
      return `Done in ${((performance.now() - start) / 1000).toFixed(1)} s`;
    });
  }

  async #guarded(doing: string, action: (sampler: Sampler) => Promise<string>): Promise<void> {
    const sampler = this.#sampler;
    if (sampler === undefined) return;
    status.setBusy(true);
    status.say(doing);
    showMessage("");
    const said = await action(sampler).catch((error: unknown) => {
      if (error instanceof CancelledError) return "Cancelled";
      if (sampler === this.#sampler) showMessage(messageOf(error));
      return "Failed";
    });
    // Another bundle may have been opened meanwhile, and the page shows that one now.
    if (sampler !== this.#sampler) return;
    status.say(said);
    status.showShare(0);
    status.showBackend(sampler.backend, sampler.threads);
    status.setBusy(false);
  }
}

/** Shows an error above everything else; an empty text hides it. */
export function showMessage(text: string): void {
  message.textContent = text;
  message.hidden = text === "";
}

/** The message for an error: a BundleError has its own. */
export function messageOf(error: unknown): string {
  if (error instanceof BundleError) return error.message;
  return `This failed: ${error instanceof Error ? error.message : String(error)}`;
}
