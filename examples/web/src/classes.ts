/** The fields that say which class pictures show and how much of it, where the model knows classes. */

import { find } from "./dom";
import type { Fields } from "./fields";
import type { Manifest } from "./manifest";
import type { Wish } from "./messages";

const NONE = "-1";
const EACH_ITS_OWN = "seed";

/** Fills in what the bundle knows and proposes; of no classes nothing is shown. */
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

/** What the picture of each seed is to show; undefined for a model without classes. */
export function readWish(
  fields: Fields,
  { classNames }: Manifest,
  seeds: BigInt64Array,
): Wish | undefined {
  if (classNames.length === 0) return undefined;
  const chosen = fields.choice("label");
  const labels = seeds.map((seed) =>
    chosen === EACH_ITS_OWN ? seed % BigInt(classNames.length) : BigInt(chosen),
  );
  // Without a class guidance changes nothing, and all but 1 evaluate the network twice.
  return { labels, guidance: chosen === NONE ? 1 : fields.number("guidance") };
}

/** What a picture is called: its seed, and its class if it shows one. */
export function titleOf(seed: bigint, label: bigint | undefined, { classNames }: Manifest): string {
  const name = classNames[Number(label ?? NONE)];
  return name === undefined ? `seed ${seed}` : `seed ${seed}: ${name}`;
}
