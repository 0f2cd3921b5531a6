// Writes the picture of each seed as a PNG file: node sample.mjs BUNDLE SEED COUNT STEPS FOLDER

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { PNG } from "pngjs";

// onnxruntime reads this when it creates the first session; without it, it sends telemetry.
process.env.ORT_DISABLE_TELEMETRY ??= "1";

const [bundle = ".", seed = "0", count = "4", asked, folder = "pictures"] = process.argv.slice(2);
const { image, model, sampler } = JSON.parse(readFileSync(`${bundle}/bundle.json`, "utf8"));
const steps = asked ?? sampler.default_steps;

// BigInt, since JavaScript's own numbers are whole only below 2 ** 53, and seeds go up to 2 ** 63.
const [first, end, most] = [BigInt(seed), BigInt(seed) + BigInt(count), sampler.max_steps];
if (first < 0n || end > 2n ** 63n || BigInt(steps) < 1n || BigInt(steps) > most) {
  throw new RangeError(`expected seeds from 0 to 2 ** 63 - 1 and 1 to ${most} steps`); // a graph cannot
}
const seeds = BigInt64Array.from({ length: Number(count) }, (_, index) => first + BigInt(index));
const session = await InferenceSession.create(`${bundle}/sampler.onnx`);
const feeds = {
  seeds: new Tensor("int64", seeds, [seeds.length]),
  steps: new Tensor("int64", [BigInt(steps)], []),
};
if (model.class_names) {
  const labels = seeds.map((each) => each % BigInt(model.class_names.length));
  feeds.labels = new Tensor("int64", labels, [labels.length]);
  feeds.guidance = new Tensor("float32", [sampler.default_guidance], []);
}
const { images } = await session.run(feeds);

const colorType = [0, 4, 2, 6][image.channels - 1]; // PNG's numbers of grey, grey and alpha, RGB, RGBA
const scale = image.dtype === "float32" ? 255 : 1;
const pixels = Buffer.from(images.data.map((level) => Math.round(scale * level)));
const size = pixels.length / seeds.length;
mkdirSync(folder, { recursive: true });
seeds.forEach((each, index) => {
  const png = new PNG({ width: image.width, height: image.height });
  png.data = pixels.subarray(index * size, (index + 1) * size);
  writeFileSync(`${folder}/${each}.png`, PNG.sync.write(png, { colorType, inputColorType: colorType }));
});
