/** A bundle: its manifest, and its graphs after their SHA-256 has been checked. */

import { BundleError } from "./errors";
import { type Manifest, parseManifest } from "./manifest";
import type { BundleSource, OnBytes } from "./source";

const COPY_AGAIN = "copy the bundle again or export it again";
// A manifest has about ten thousand; a larger file is something else.
const MANIFEST_BYTES = 2 ** 22;

export class Bundle {
  private constructor(
    readonly manifest: Manifest,
    private readonly source: BundleSource,
  ) {}

  /** Reads and checks the manifest; the graphs are checked when they are used. */
  static async open(source: BundleSource): Promise<Bundle> {
    const content = await source.read("bundle.json", MANIFEST_BYTES);
    if (content === undefined) {
      throw new BundleError(
        `${source.name} holds no bundle.json, expected the folder that diffkiln-export wrote`,
      );
    }
    if (content.byteLength > MANIFEST_BYTES) {
      throw new BundleError(`bundle.json has more than ${MANIFEST_BYTES} bytes; ${COPY_AGAIN}`);
    }
    return new Bundle(parseManifest(new TextDecoder().decode(content)), source);
  }

  get name(): string {
    return this.source.name;
  }

  has(graph: string): boolean {
    return this.manifest.graphs.has(graph);
  }

  /** The bytes of a graph; BundleError if the file is missing, truncated or altered. */
  async graph(name: string, onBytes?: OnBytes): Promise<ArrayBuffer> {
    const expected = this.manifest.graphs.get(name);
    if (expected === undefined) {
      throw new BundleError(
        `the bundle holds no graph '${name}'; export the model again with --graphs naming it`,
      );
    }
    const { file, sha256, bytes } = expected;
    const content = await this.source.read(file, bytes, onBytes);
    if (content === undefined) {
      throw new BundleError(`${file} is missing, though bundle.json lists it; ${COPY_AGAIN}`);
    }
    if (content.byteLength !== bytes) {
      throw new BundleError(
        content.byteLength < bytes
          ? `${file} has ${content.byteLength} bytes, expected ${bytes}: truncated; ${COPY_AGAIN}`
          : `${file} has more than ${bytes} bytes: altered; ${COPY_AGAIN}`,
      );
    }
    const received = await sha256Of(content);
    if (received !== sha256) {
      throw new BundleError(
        `${file} was altered: its SHA-256 is ${received}, expected ${sha256}; ${COPY_AGAIN}`,
      );
    }
    return content;
  }
}

async function sha256Of(content: ArrayBuffer): Promise<string> {
  if (!globalThis.isSecureContext) {
    throw new BundleError("a browser checks files only on https or localhost; open the page there");
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
