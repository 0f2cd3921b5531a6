// Writes the picture of each seed as a PNG file: node sample.mjs BUNDLE SEED COUNT STEPS FOLDER CONDITION…
//
// Arrays that are no pictures become one NumPy file, FOLDER/samples.npy: float32 [COUNT, …] in the data's own units.
// A condition is NAME=VALUE: a .npy file, for all pictures or with one for each, or numbers with commas between them.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { PNG } from "pngjs";

// onnxruntime reads this when it creates the first session; without it, it sends telemetry.
process.env.ORT_DISABLE_TELEMETRY ??= "1";

const [bundle = ".", seed = "0", count = "4", asked, folder = "pictures", ...given] = process.argv.slice(2);
const { array, graphs, image, model, sampler, conditions = [] } = JSON.parse(readFileSync(`${bundle}/bundle.json`, "utf8"));
const steps = asked ?? sampler.default_steps;

// BigInt, since JavaScript's own numbers are whole only below 2 ** 53, and seeds go up to 2 ** 63.
const [first, end, most] = [BigInt(seed), BigInt(seed) + BigInt(count), sampler.max_steps];
if (first < 0n || end > 2n ** 63n || BigInt(steps) < 1n || BigInt(steps) > most) {
  throw new RangeError(`expected seeds from 0 to 2 ** 63 - 1 and 1 to ${most} steps`); // a graph cannot
}
const seeds = BigInt64Array.from({ length: Number(count) }, (_, index) => first + BigInt(index));
const session = await InferenceSession.create(`${bundle}/sampler.onnx`);
// Numbers are [], or [1] in a bundle that was exported with --numbers_as_lists.
const one = graphs.sampler.inputs.find(({ name }) => name === "steps").shape;
const feeds = {
  seeds: new Tensor("int64", seeds, [seeds.length]),
  steps: new Tensor("int64", [BigInt(steps)], one),
};
if (model.class_names) {
  const labels = seeds.map((each) => each % BigInt(model.class_names.length));
  feeds.labels = new Tensor("int64", labels, [labels.length]);
}
if (model.class_names || conditions.some((condition) => "null" in condition)) {
  feeds.guidance = new Tensor("float32", [sampler.default_guidance], one);
}
const values = Object.fromEntries(given.map((text) => text.split(/=(.*)/s)));
for (const condition of conditions) feeds[condition.name] = tensor(condition, values[condition.name]);
const { images, samples } = await session.run(feeds);
mkdirSync(folder, { recursive: true });
if (array) writeFileSync(`${folder}/samples.npy`, npy(samples));
else writePictures(images.data);

function writePictures(levels) {
  const colorType = [0, 4, 2, 6][image.channels - 1]; // PNG's numbers of grey, grey and alpha, RGB, RGBA
  const scale = image.dtype === "float32" ? 255 : 1;
  const pixels = Buffer.from(levels.map((level) => Math.round(scale * level)));
  const size = pixels.length / seeds.length;
  seeds.forEach((each, index) => {
    const png = new PNG({ width: image.width, height: image.height });
    png.data = pixels.subarray(index * size, (index + 1) * size);
    writeFileSync(`${folder}/${each}.png`, PNG.sync.write(png, { colorType, inputColorType: colorType }));
  });
}

/** The content of a NumPy file, version 1.0, whose numbers begin at a multiple of 64 bytes. */
function npy({ data, dims }) {
  const about = `{'descr': '<f4', 'fortran_order': False, 'shape': (${dims}), }`;
  const header = about.padEnd(Math.ceil((about.length + 11) / 64) * 64 - 11) + "\n";
  const begin = Buffer.from(`\x93NUMPY\x01\x00\x00\x00${header}`, "latin1");
  begin.writeUInt16LE(header.length, 8);
  return Buffer.concat([begin, Buffer.from(data.buffer, data.byteOffset, data.byteLength)]);
}

/** The condition of all pictures, for the text of its value. */
function tensor({ name, dtype, shape, description = "", default: otherwise }, text) {
  const [type, Numbers] = {
    uint8: ["|u1", Uint8Array],
    float32: ["<f4", Float32Array],
    int64: ["<i8", BigInt64Array],
  }[dtype];
  const every = [seeds.length, ...shape];
  const one = shape.reduce((product, size) => product * size, 1);
  const error = new RangeError(`expected ${name}=VALUE, ${dtype} [${shape}] or [${every}] ${description}`);
  const numbers = text === undefined ? fromDefault() : text.endsWith(".npy") ? fromFile() : fromText();
  const all = new Numbers(seeds.length * one);
  for (let place = 0; place < all.length; place += numbers.length) all.set(numbers, place);
  return new Tensor(dtype, all, every);

  function fromDefault() {
    if (otherwise === undefined) throw error;
    return new Numbers(one).fill(dtype === "int64" ? BigInt(otherwise) : otherwise);
  }

  function fromFile() {
    const content = readFileSync(text);
    const start = 10 + content.readUInt16LE(8); // of the numbers, in version 1 of the format
    const header = content.toString("latin1", 0, start);
    const [sizes] = /(?<='shape': \()[^)]*/.exec(header) ?? ["?"];
    const isRight = [shape, every].some((each) => each.join() === sizes.replace(/,? *$/, "").replaceAll(" ", ""));
    if (!isRight || !header.includes(`'descr': '${type}', 'fortran_order': False`)) throw error;
    return new Numbers(Uint8Array.from(content.subarray(start)).buffer);
  }

  function fromText() {
    const parts = text.split(",");
    const isRight = parts.length === one && parts.every((part) => part.trim() && Number.isFinite(Number(part)));
    if (!isRight || dtype === "uint8") throw error; // pixels are more than a few numbers
    return Numbers.from(parts, dtype === "int64" ? BigInt : Number);
  }
}
