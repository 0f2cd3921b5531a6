/** The fields for class and guidance, shown if the model knows classes. */

import { find } from "./dom";
import type { Fields } from "./fields";
import type { Manifest } from "./manifest";
import type { Conditioning } from "./messages";

const NONE = "-1";
const EACH_ITS_OWN = "seed";

/** Fills in the bundle's classes and default guidance; hides the fields if it has no classes. */
export function setClasses(form: HTMLFormElement, { classNames, defaultGuidance }: Manifest): void {
  const label = find(form, "[name=label]", HTMLSelectElement);
  const guidance = find(form, "[name=guidance]", HTMLInputElement);
  const names = classNames.map((name, number) => new Option(name, String(number)));
  find(label, "optgroup", HTMLOptGroupElement).replaceChildren(...names);
  label.selectedIndex = 0;
  guidance.value = String(defaultGuidance);
  const enable = () => (guidance.disabled = label.value === NONE);
  label.onchange = enable;
  enable();
  form.querySelectorAll<HTMLElement>(".of-classes").forEach((each) => {
    each.hidden = classNames.length === 0;
  });
}

/** The class of each seed and the guidance; undefined for a model without classes. */
export function readConditioning(
  fields: Fields,
  { classNames }: Manifest,
  seeds: BigInt64Array,
): Conditioning | undefined {
  if (classNames.length === 0) return undefined;
  const chosen = fields.choice("label");
  const labels = seeds.map((seed) =>
    chosen === EACH_ITS_OWN ? seed % BigInt(classNames.length) : BigInt(chosen),
  );
  // Without a class, guidance changes nothing, and any number except 1 evaluates the network twice.
  return { labels, guidance: chosen === NONE ? 1 : fields.number("guidance") };
}

/** The title of a picture: its seed, and its class if it shows one. */
export function titleOf(seed: bigint, label: bigint | undefined, { classNames }: Manifest): string {
  const name = classNames[Number(label ?? NONE)];
  return name === undefined ? `seed ${seed}` : `seed ${seed}: ${name}`;
}
