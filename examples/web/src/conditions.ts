/** The fields for what else the network takes; they are for all panels, and for all pictures of a job. */

import type { App } from "./app";
import { byId, find } from "./dom";
import { FieldError } from "./fields";
import type { Condition, Manifest } from "./manifest";
import type { Numbers, Rows } from "./messages";
import { parseNpy } from "./npy";
import { fromFile } from "./pixels";

// More numbers than these come from a file.
const FEW = 16;

const root = byId("conditions", HTMLElement);
/** What was read from files, by the names of conditions. */
const read = new Map<string, Numbers | string>();

/** Shows a field for each condition of the bundle that is opened. */
export function setUpConditions(app: App): void {
  app.onOpen(({ manifest: { conditions, fit } }) => {
    read.clear();
    root.hidden = conditions.length === 0;
    const fields = conditions.map((condition) => fieldOf(condition, fit));
    find(root, ".fields", HTMLElement).replaceChildren(...fields);
  });
}

/** All conditions of the bundle except those `made` elsewhere; a FieldError for a wrong one. */
export function readConditions({ conditions }: Manifest, made: readonly string[]): Rows[] {
  return conditions.filter(({ name }) => !made.includes(name)).map((condition) => {
    const field = find(root, `[name=${condition.name}]`, HTMLInputElement);
    const given = isFile(condition) ? read.get(condition.name) : fromText(condition, field.value);
    const numbers = field.value === "" ? fromDefault(condition) : given;
    if (numbers !== undefined && typeof numbers !== "string") return { ...condition, numbers };
    field.setAttribute("aria-invalid", "true");
    const received = typeof numbers === "string" ? numbers : field.value.slice(0, 30) || "nothing";
    const expected = kindOf(condition);
    throw new FieldError(field, `${condition.name}: received ${received}, expected ${expected}`);
  });
}

function fieldOf(condition: Condition, fit: Manifest["fit"]): HTMLElement {
  const { name, description } = condition;
  const label = document.createElement("label");
  const field = document.createElement("input");
  field.name = name;
  field.autocomplete = "off";
  label.append(description === "" ? name : `${name}: ${description}`, field);
  const otherwise = condition.default === undefined ? "" : `, otherwise ${condition.default}`;
  field.placeholder = kindOf(condition) + otherwise;
  if (isFile(condition)) {
    field.type = "file";
    field.accept = isPicture(condition) ? ".npy,image/*" : ".npy";
    field.addEventListener("change", () => void choose(condition, fit, field));
  }
  field.addEventListener("input", () => field.removeAttribute("aria-invalid"));
  return label;
}

async function choose(
  condition: Condition,
  fit: Manifest["fit"],
  field: HTMLInputElement,
): Promise<void> {
  const file = field.files?.[0];
  read.delete(condition.name);
  field.ariaBusy = String(file !== undefined);
  if (file === undefined) return;
  const numbers = await fromChosen(condition, fit, file).catch(() => undefined);
  // Another file may have been chosen meanwhile.
  if (field.files?.[0] !== file) return;
  read.set(condition.name, numbers ?? file.name);
  field.ariaBusy = "false";
}

async function fromChosen(
  condition: Condition,
  fit: Manifest["fit"],
  file: File,
): Promise<Numbers | undefined> {
  const { dtype, shape } = condition;
  if (isPicture(condition) && !file.name.toLowerCase().endsWith(".npy")) {
    const [height, width, channels] = shape as [number, number, number];
    const format = { height, width, channels, dtype: "uint8", fit } as const;
    return (await fromFile(file, format)) as Uint8Array<ArrayBuffer>;
  }
  const array = parseNpy(await file.arrayBuffer(), dtype);
  const isOne = array !== undefined && array.shape.join() === shape.join();
  return isOne && array.numbers.every(isWithin(condition)) ? array.numbers : undefined;
}

function fromDefault(condition: Condition): Numbers | undefined {
  const { dtype, default: number } = condition;
  if (number === undefined) return undefined;
  if (dtype === "int64") return new BigInt64Array(count(condition)).fill(BigInt(number));
  const Levels = dtype === "uint8" ? Uint8Array : Float32Array;
  return new Levels(count(condition)).fill(number);
}

/** Numbers with commas between them. */
function fromText(condition: Condition, text: string): Numbers | undefined {
  const { dtype } = condition;
  const parts = text.split(",").map((part) => part.trim());
  const pattern = dtype === "float32" ? /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i : /^-?\d{1,15}$/;
  if (parts.length !== count(condition) || !parts.every((part) => pattern.test(part))) return undefined;
  const numbers =
    dtype === "float32" ? Float32Array.from(parts, Number) : BigInt64Array.from(parts, BigInt);
  return numbers.every(isWithin(condition)) ? numbers : undefined;
}

/** Also false for what is not finite. */
const isWithin =
  ({ minimum, maximum }: Condition) =>
  (number: number | bigint) =>
    number >= minimum && number <= maximum && Math.abs(Number(number)) < Infinity;

const count = ({ shape }: Condition) => shape.reduce((product, size) => product * size, 1);

const isFile = (condition: Condition) => condition.dtype === "uint8" || count(condition) > FEW;

const isPicture = ({ dtype, shape }: Condition) =>
  dtype === "uint8" && shape.length === 3 && shape[2]! <= 4;

/** Like "int64 [] from 0 to 9". */
const kindOf = ({ dtype, shape, minimum, maximum }: Condition) =>
  `${dtype} [${shape.join(", ")}]` +
  (Number.isFinite(minimum) ? ` from ${minimum}` : "") +
  (Number.isFinite(maximum) ? ` to ${maximum}` : "");
