/** NumPy's .npy files: reads versions 1 and 2 of the format, and writes version 1. */

import type { Dtype } from "./manifest";
import type { Numbers, Pixels } from "./messages";

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

/** A file of float32 with this shape, whose numbers are those of all parts. */
export function toNpy(shape: readonly number[], parts: readonly Pixels[]): Blob {
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const text = `{'descr': '${KINDS.float32[0]}', 'fortran_order': False, 'shape': (${sizes}), }`;
  // The numbers begin at a multiple of 64 bytes.
  const length = Math.ceil((text.length + 11) / 64) * 64 - 10;
  const start = Uint8Array.from(MAGIC, (letter) => letter.charCodeAt(0));
  const about = `${text.padEnd(length - 1)}\n`;
  return new Blob([start, Uint8Array.of(1, 0, length % 256, length >> 8), about, ...(parts as readonly BlobPart[])]);
}
