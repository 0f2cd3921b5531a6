/** Checks bundle.json, as docs/bundle.md describes it, before anything in it is used. */

import { BundleError } from "./errors";

const FORMAT = "diffkiln-bundle";
const FORMAT_VERSION = 6;
const FITS = ["crop", "pad", "stretch"] as const;
const EXPORT_AGAIN = "export the model again";

/** A file of the bundle, with its size and SHA-256. */
export interface GraphFile {
  readonly file: string;
  readonly sha256: string;
  readonly bytes: number;
}

export type Dtype = "uint8" | "float32" | "int64";

/** What else the network takes: `shape` is that of one picture's. */
export interface Condition {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly description: string;
  /** For all of it, where none is given. */
  readonly default: number | undefined;
  /** Whether guidance leaves it out. */
  readonly hasNull: boolean;
  readonly minimum: number;
  readonly maximum: number;
}

/** Arrays that are no pictures: the shape of one, and what each entry of its last axis has on average. */
export interface ArrayFormat {
  readonly shape: readonly number[];
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** The parts of a checked manifest that the page needs. */
export interface Manifest {
  /** For arrays [D] and [T,C], height and width are 1 or T and 1, and channels the last axis. */
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly dtype: "uint8" | "float32";
  readonly array: ArrayFormat | undefined;
  /** Whether single steps make latents, of which the graph "decoder" makes images. */
  readonly isLatent: boolean;
  /** How much larger the graph "upscaler" makes what single steps draw; 1 if there is none. */
  readonly factor: number;
  /** How pictures of another shape become images: by their middle, between bars, or squeezed. */
  readonly fit: (typeof FITS)[number];
  readonly solver: string;
  readonly eta: number;
  readonly defaultSteps: number;
  readonly maxSteps: number;
  /** Of all stages. */
  readonly parameters: number;
  /** The names of classes 0, 1, …; empty for a model without classes. */
  readonly classNames: readonly string[];
  readonly conditions: readonly Condition[];
  /** Whether graphs take guidance: there is something for it to leave out. */
  readonly isGuided: boolean;
  readonly defaultGuidance: number;
  /** The least and the greatest guidance that graphs take. */
  readonly guidanceRange: readonly number[];
  readonly graphs: ReadonlyMap<string, GraphFile>;
}

/** Reads a manifest from its text; BundleError says what is wrong with it. */
export function parseManifest(text: string): Manifest {
  const root = new Section("bundle.json", parseJson(text));
  requireVersion(root);
  const array = root.has("array") ? arrayFormat(root.section("array")) : undefined;
  const size = array ? sizeOf(array) : imageSize(root.section("image"));
  const then = root.has("then") ? root.section("then") : undefined;
  const sampler = root.section("sampler");
  const model = root.section("model");
  const classNames = model.texts("class_names");
  const conditions = root.sections("conditions").map(condition);
  const isGuided = classNames.length > 0 || conditions.some(({ hasNull }) => hasNull);
  const graphs = root.section("graphs");
  const manifest: Manifest = {
    ...size,
    array,
    isLatent: root.has("latent"),
    factor: then ? enlarging(then, size) : 1,
    solver: sampler.text("solver"),
    eta: sampler.number("eta"),
    defaultSteps: sampler.positive("default_steps"),
    maxSteps: sampler.positive("max_steps"),
    parameters: model.positive("parameters") + (then?.section("model").positive("parameters") ?? 0),
    classNames,
    conditions,
    isGuided,
    defaultGuidance: isGuided ? sampler.number("default_guidance") : 1,
    guidanceRange: model.has("guidance_range") ? model.numbers("guidance_range") : [0, 100],
    graphs: new Map(graphs.keys().map((name) => [name, graphFile(root, graphs.section(name))])),
  };
  requireDrawable(manifest);
  return manifest;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new BundleError(
      `bundle.json is not JSON (${(error as Error).message}); copy the bundle again`,
    );
  }
}

function requireVersion(root: Section): void {
  root.oneOf("format", [FORMAT]);
  const version = root.positive("format_version");
  if (version > FORMAT_VERSION) {
    throw new BundleError(
      `bundle.json: 'format_version' is ${version}, expected at most ${FORMAT_VERSION}: the ` +
        "bundle was written by a newer diffkiln; use the page that is bundled with it",
    );
  }
}

type Size = Pick<Manifest, "height" | "width" | "channels" | "dtype" | "fit">;

function imageSize(image: Section): Size {
  return {
    height: image.positive("height"),
    width: image.positive("width"),
    channels: image.positive("channels"),
    dtype: image.oneOf("dtype", ["uint8", "float32"]),
    fit: image.has("fit") ? image.oneOf("fit", FITS) : "crop",
  };
}

function arrayFormat(array: Section): ArrayFormat {
  const shape = array.positives("shape");
  const [mean, std] = [array.numbers("mean"), array.numbers("std")];
  const last = shape.at(-1);
  if (shape.length > 3 || mean.length !== last || std.length !== last) {
    throw new BundleError(
      `${array.name}: 'shape' is [${shape.join(", ")}], with ${mean.length} means and ${std.length} ` +
        `deviations, expected 1 to 3 axes, and one of each for an entry of the last; ${EXPORT_AGAIN}`,
    );
  }
  return { shape, mean, std };
}

function sizeOf({ shape }: ArrayFormat): Size {
  const [height = 1, width = 1] = shape.slice(0, -1);
  return { height, width, channels: shape.at(-1)!, dtype: "float32", fit: "crop" };
}

/** The factor of the second stage, which the sides of an image must be multiples of. */
function enlarging(then: Section, { height, width }: Size): number {
  const factor = then.positive("factor");
  if (factor === 1 || height % factor !== 0 || width % factor !== 0) {
    throw new BundleError(
      `${then.name}: 'factor' is ${factor}, expected one above 1 that divides ${height} and ` +
        `${width}; ${EXPORT_AGAIN}`,
    );
  }
  return factor;
}

/** The graphs that draw pictures step by step. */
export function steppedGraphs({ isLatent, factor }: Manifest): readonly string[] {
  return ["noise", "step", ...(isLatent ? ["decoder"] : []), ...(factor > 1 ? ["upscaler"] : [])];
}

function requireDrawable(manifest: Manifest): void {
  if (manifest.array === undefined && manifest.channels > 4) {
    throw new BundleError(
      `bundle.json: 'image': 'channels' is ${manifest.channels}, expected 1 to 4 to draw it here`,
    );
  }
  for (const name of steppedGraphs(manifest)) {
    if (!manifest.graphs.has(name)) {
      throw new BundleError(
        `the bundle holds no graph '${name}', only ${[...manifest.graphs.keys()].join(", ")}; ` +
          `${EXPORT_AGAIN} with --graphs=sampler,noise,step`,
      );
    }
  }
}

function condition(section: Section): Condition {
  const name = section.text("name");
  if (!/^[a-z][a-z0-9_]{0,31}$/.test(name)) {
    throw new BundleError(`${section.name}: 'name' is ${shown(name)}, expected a_name; ${EXPORT_AGAIN}`);
  }
  return {
    name,
    dtype: section.oneOf("dtype", ["uint8", "float32", "int64"]),
    shape: section.positives("shape"),
    description: section.has("description") ? section.text("description") : "",
    default: section.has("default") ? section.number("default") : undefined,
    hasNull: section.has("null"),
    minimum: section.has("minimum") ? section.number("minimum") : -Infinity,
    maximum: section.has("maximum") ? section.number("maximum") : Infinity,
  };
}

function graphFile(root: Section, graph: Section): GraphFile {
  const file = graph.text("file");
  // A colon or a backslash would turn it into another address.
  if (file.startsWith("/") || /[\\:\0?#%]/.test(file) || file.split("/").includes("..")) {
    throw new BundleError(
      `${graph.name}: the path '${file}' leads out of the bundle; do not use this bundle`,
    );
  }
  const record = root.section("files").section(file);
  return { file, sha256: record.text("sha256"), bytes: record.positive("bytes") };
}

/** One JSON object of the manifest, and its name in messages. */
class Section {
  readonly #values: Record<string, unknown>;

  constructor(
    readonly name: string,
    values: unknown,
  ) {
    if (typeof values !== "object" || values === null || Array.isArray(values)) {
      throw new BundleError(`${name} is ${shown(values)}, expected an object; ${EXPORT_AGAIN}`);
    }
    this.#values = values as Record<string, unknown>;
  }

  keys(): string[] {
    return Object.keys(this.#values);
  }

  has(key: string): boolean {
    return this.#value(key) !== undefined;
  }

  section(key: string): Section {
    return new Section(`${this.name}: '${key}'`, this.#value(key));
  }

  /** A list of objects; empty if it is missing. */
  sections(key: string): Section[] {
    const value = this.#value(key) ?? [];
    if (!Array.isArray(value)) return this.#refuse(key, "a list");
    return value.map((each, place) => new Section(`${this.name}: '${key}[${place}]'`, each));
  }

  positives(key: string): readonly number[] {
    const value = this.#value(key);
    const right = Array.isArray(value) && value.every((each) => Number.isSafeInteger(each) && each >= 1);
    return right ? value : this.#refuse(key, "a list of positive whole numbers");
  }

  text(key: string): string {
    const value = this.#value(key);
    return typeof value === "string" ? value : this.#refuse(key, "text");
  }

  /** A list; empty if it is missing. */
  texts(key: string): readonly string[] {
    const value = this.#value(key) ?? [];
    const right = Array.isArray(value) && value.every((each) => typeof each === "string");
    return right ? value : this.#refuse(key, "a list of texts");
  }

  numbers(key: string): readonly number[] {
    const value = this.#value(key);
    const right = Array.isArray(value) && value.every((each) => typeof each === "number");
    return right ? value : this.#refuse(key, "a list of numbers");
  }

  number(key: string): number {
    const value = this.#value(key);
    return typeof value === "number" ? value : this.#refuse(key, "a number");
  }

  positive(key: string): number {
    const value = this.#value(key);
    const right = typeof value === "number" && Number.isSafeInteger(value) && value >= 1;
    return right ? value : this.#refuse(key, "a positive whole number");
  }

  oneOf<Choice extends string>(key: string, choices: readonly Choice[]): Choice {
    const found = choices.find((choice) => choice === this.#value(key));
    return found ?? this.#refuse(key, choices.map((choice) => `'${choice}'`).join(" or "));
  }

  #value(key: string): unknown {
    return Object.hasOwn(this.#values, key) ? this.#values[key] : undefined;
  }

  #refuse(key: string, expected: string): never {
    const received = shown(this.#value(key));
    throw new BundleError(
      `${this.name}: '${key}' is ${received}, expected ${expected}; ${EXPORT_AGAIN}`,
    );
  }
}

function shown(value: unknown): string {
  return value === undefined ? "missing" : JSON.stringify(value).slice(0, 60);
}
