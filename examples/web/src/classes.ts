/** The fields for class and guidance, shown if the model knows classes or has conditions to guide. */

import { readConditions } from "./conditions";
import { find } from "./dom";
import type { Fields } from "./fields";
import type { Manifest } from "./manifest";
import type { Conditioning } from "./messages";

const NONE = "-1";
const EACH_ITS_OWN = "seed";

/** Fills in the bundle's classes and default guidance; hides the fields that it does not have. */
export function setClasses(form: HTMLFormElement, manifest: Manifest): void {
  const { classNames, defaultGuidance, guidanceRange, isGuided } = manifest;
  const label = find(form, "[name=label]", HTMLSelectElement);
  const guidance = find(form, "[name=guidance]", HTMLInputElement);
  const names = classNames.map((name, number) => new Option(name, String(number)));
  find(label, "optgroup", HTMLOptGroupElement).replaceChildren(...names);
  label.selectedIndex = 0;
  [guidance.min, guidance.max] = guidanceRange.map(String) as [string, string];
  guidance.value = String(defaultGuidance);
  const enable = () => (guidance.disabled = label.value === NONE && !guidesConditions(manifest));
  label.onchange = enable;
  enable();
  const shown = { ".of-classes": classNames.length > 0, ".of-guidance": isGuided };
  for (const [selector, isShown] of Object.entries(shown)) {
    form.querySelectorAll<HTMLElement>(selector).forEach((each) => (each.hidden = !isShown));
  }
}

/** The class of each seed, the guidance and the conditions except `made`, as far as the model has them. */
export function readConditioning(
  fields: Fields,
  manifest: Manifest,
  seeds: BigInt64Array,
  made: readonly string[] = [],
): Conditioning {
  const { classNames, isGuided } = manifest;
  const chosen = fields.choice("label");
  const labels = seeds.map((seed) =>
    chosen === EACH_ITS_OWN ? seed % BigInt(classNames.length || 1) : BigInt(chosen),
  );
  // With nothing to leave out, any guidance except 1 would evaluate the network twice for nothing.
  const guides = guidesConditions(manifest) || chosen !== NONE;
  return {
    labels: classNames.length > 0 ? labels : undefined,
    guidance: !isGuided ? undefined : guides ? fields.number("guidance") : 1,
    conditions: readConditions(manifest, made),
  };
}

const guidesConditions = ({ conditions }: Manifest) => conditions.some(({ hasNull }) => hasNull);

/** The title of a picture: its seed, and its class if it shows one. */
export function titleOf(seed: bigint, label: bigint | undefined, { classNames }: Manifest): string {
  const name = classNames[Number(label ?? NONE)];
  return name === undefined ? `seed ${seed}` : `seed ${seed}: ${name}`;
}
