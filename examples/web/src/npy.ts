/** Reads NumPy's .npy files, in versions 1 and 2 of the format. */

import type { Dtype } from "./manifest";
import type { Numbers } from "./messages";

const MAGIC = "\x93NUMPY";
const LONGEST_HEADER = 4096;

// NumPy's names of little-endian types.
const KINDS = {
  uint8: ["|u1", Uint8Array],
  float32: ["<f4", Float32Array],
  int64: ["<i8", BigInt64Array],
} as const;

/** The array of a file; undefined if it is none of this dtype. */
export function parseNpy(
  content: ArrayBuffer,
  dtype: Dtype,
): { shape: readonly number[]; numbers: Numbers } | undefined {
  const text = Array.from(new Uint8Array(content.slice(0, LONGEST_HEADER)), (byte) =>
    String.fromCharCode(byte),
  ).join("");
  const version = text.charCodeAt(MAGIC.length);
  if (!text.startsWith(MAGIC) || (version !== 1 && version !== 2)) return undefined;
  const view = new DataView(content);
  const start = version === 1 ? 10 + view.getUint16(8, true) : 12 + view.getUint32(8, true);
  const found = /'descr': '(.*?)', 'fortran_order': False, 'shape': \(([\d, ]*)\)/.exec(text);
  const [type, Kind] = KINDS[dtype];
  if (found?.[1] !== type) return undefined;
  const sizes = found[2]!.split(",").filter((size) => size.trim() !== "");
  const shape = sizes.map(Number);
  const count = shape.reduce((product, size) => product * size, 1);
  const isWhole = content.byteLength === start + count * Kind.BYTES_PER_ELEMENT;
  return isWhole ? { shape, numbers: new Kind(content.slice(start)) } : undefined;
}
