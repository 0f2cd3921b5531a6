/** Reads the numbers of a form, and shows below them which one is wrong. */

import { find } from "./dom";
import type { Manifest } from "./manifest";

export const LARGEST_SEED = 2n ** 63n - 1n;

/** What is wrong with a field. */
export class FieldError extends Error {
  constructor(
    readonly field: HTMLInputElement,
    message: string,
  ) {
    super(message);
  }
}

/** Reads a form when it is submitted; nothing happens if `read` refuses one of its fields. */
export function onSubmit<Values>(
  form: HTMLFormElement,
  read: (fields: Fields) => Values,
  start: (values: Values) => void,
): void {
  const message = find(form, ".field-error", HTMLElement);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    message.hidden = true;
    form.querySelectorAll("[aria-invalid]").forEach((e) => e.removeAttribute("aria-invalid"));
    try {
      start(read(new Fields(form)));
    } catch (error) {
      if (!(error instanceof FieldError)) throw error;
      message.textContent = error.message;
      message.hidden = false;
      error.field.setAttribute("aria-invalid", "true");
      error.field.focus();
    }
  });
}

export class Fields {
  constructor(private readonly form: HTMLFormElement) {}

  /** A whole number between the field's min and max. */
  whole(name: string): number {
    return this.#between(name, /^\d+$/, "a whole number");
  }

  /** A number between the field's min and max. */
  number(name: string): number {
    return this.#between(name, /./, "a number");
  }

  /** The value chosen in a list. */
  choice(name: string): string {
    return find(this.form, `[name=${name}]`, HTMLSelectElement).value;
  }

  /** `count` seeds, beginning with the one in the field; the last must be in range too. */
  seeds(name: string, count = 1): BigInt64Array {
    const field = this.#field(name);
    const text = field.value.trim();
    const largest = LARGEST_SEED - BigInt(count - 1);
    // Twenty digits are more than any seed has; BigInt would accept a megabyte of them.
    const first = /^\d{1,20}$/.test(text) ? BigInt(text) : -1n;
    if (first < 0n || first > largest) {
      throw this.#error(field, `a whole number from 0 to ${largest}`);
    }
    return BigInt64Array.from({ length: count }, (_, number) => first + BigInt(number));
  }

  #between(name: string, pattern: RegExp, kind: string): number {
    const field = this.#field(name);
    const number = pattern.test(field.value) ? Number(field.value) : Number.NaN;
    if (!(number >= Number(field.min) && number <= Number(field.max))) {
      throw this.#error(field, `${kind} from ${field.min} to ${field.max}`);
    }
    return number;
  }

  #field(name: string): HTMLInputElement {
    return find(this.form, `[name=${name}]`, HTMLInputElement);
  }

  #error(field: HTMLInputElement, expected: string): FieldError {
    const label = field.labels?.[0]?.textContent?.trim() ?? field.name;
    const received = field.value === "" ? "nothing" : `“${field.value.slice(0, 30)}”`;
    return new FieldError(field, `${label}: received ${received}, expected ${expected}`);
  }
}

/** Lets the form's "Random" button fill in a seed, short enough to say aloud. */
export function addDice(form: HTMLFormElement): void {
  const field = find(form, "[name=seed]", HTMLInputElement);
  find(form, ".dice", HTMLButtonElement).addEventListener("click", () => {
    field.value = String(crypto.getRandomValues(new Uint32Array(1))[0]);
  });
}

/** Sets the bundle's limits and defaults. */
export function setSteps(form: HTMLFormElement, { defaultSteps, maxSteps }: Manifest): void {
  const field = find(form, "[name=steps]", HTMLInputElement);
  field.max = String(maxSteps);
  field.value = String(defaultSteps);
}
