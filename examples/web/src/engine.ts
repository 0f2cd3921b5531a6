/** Loads graphs into onnxruntime-web and runs them; lives in the worker. */

import type { InferenceSession, Tensor } from "onnxruntime-web";
import gpuModuleUrl from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url";
import gpuBinaryUrl from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url";
import cpuModuleUrl from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import cpuBinaryUrl from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import type { Backend } from "./messages";

/** Inputs of a graph by name. */
export type Feeds = Record<string, Tensor>;
type Runtime = typeof import("onnxruntime-web");

// The noise must be the same everywhere, so no GPU draws it; inpaint.onnx and upscaler.onnx draw it too.
const FOR_THE_GPU = new Set(["step", "decoder"]);

export class Engine {
  readonly #sessions = new Map<string, InferenceSession>();

  private constructor(
    readonly runtime: Runtime,
    readonly backend: Backend,
    readonly threads: number,
  ) {}

  /** Fetches the build of onnxruntime-web that the backend needs, and only that one. */
  static async start(backend: Backend): Promise<Engine> {
    const gpu = backend === "webgpu";
    // Both builds have the same interface, but each package declares its own types.
    const runtime = (await (gpu
      ? import("onnxruntime-web/webgpu")
      : import("onnxruntime-web/wasm"))) as unknown as Runtime;
    runtime.env.wasm.wasmPaths = gpu
      ? { mjs: absolute(gpuModuleUrl), wasm: absolute(gpuBinaryUrl) }
      : { mjs: absolute(cpuModuleUrl), wasm: absolute(cpuBinaryUrl) };
    runtime.env.wasm.numThreads = threadCount();
    // Its warnings are about shapes, which it always keeps on the CPU.
    runtime.env.logLevel = "error";
    return new Engine(runtime, backend, threadCount());
  }

  async load(name: string, content: ArrayBuffer): Promise<void> {
    const gpu = this.backend === "webgpu" && FOR_THE_GPU.has(name);
    const session = await this.runtime.InferenceSession.create(new Uint8Array(content), {
      executionProviders: gpu ? ["webgpu", "wasm"] : ["wasm"],
      logSeverityLevel: 3,
    });
    this.#sessions.set(name, session);
  }

  /** Whether a graph has been loaded. */
  has(name: string): boolean {
    return this.#sessions.has(name);
  }

  /** The names of a graph's inputs, in their order. */
  inputs(name: string): readonly string[] {
    return this.#session(name).inputNames;
  }

  /** Runs a graph once; returns its outputs in their order. */
  async run(name: string, feeds: Feeds): Promise<Tensor[]> {
    const session = this.#session(name);
    const outputs = await session.run(Object.fromEntries(session.inputMetadata.map(declared(feeds))));
    return session.outputNames.map((output) => outputs[output]!);
  }

  #session(name: string): InferenceSession {
    const session = this.#sessions.get(name);
    if (session === undefined) throw new Error(`the graph '${name}' has not been loaded`);
    return session;
  }
}

/** An input by its name; numbers are [], or [1] in a bundle exported with --numbers_as_lists. */
function declared(feeds: Feeds) {
  return (about: InferenceSession.ValueMetadata): [string, Tensor] => {
    const tensor = feeds[about.name]!;
    const isListed = about.isTensor && about.shape.length === 1 && tensor.dims.length === 0;
    return [about.name, isListed ? tensor.reshape([1]) : tensor];
  };
}

function absolute(url: string): string {
  return new URL(url, self.location.href).href;
}

/** Browsers count logical cores only, and two threads on one core get in each other's way. */
function threadCount(): number {
  const half = Math.ceil(navigator.hardwareConcurrency / 2);
  return self.crossOriginIsolated ? Math.min(8, Math.max(2, half)) : 1;
}
