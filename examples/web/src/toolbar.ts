/** Actions on the pictures of a grid: save one, save all, paint on one. */

import type { App } from "./app";
import { find } from "./dom";
import type { ImageGrid } from "./grid";
import type { Pixels } from "./messages";
import { save } from "./samples";

export function setUpToolbar(
  panel: HTMLElement,
  grid: ImageGrid,
  app: App,
  paint: (image: Pixels) => void,
): void {
  const button = (name: string) => find(panel, `.${name}`, HTMLButtonElement);
  const buttons = ["save-one", "save-all", "paint"].map(button);
  grid.onchange = () => buttons.forEach((each) => (each.disabled = !grid.selectedImage));
  button("save-one").addEventListener("click", () => {
    const name = grid.selectedLabel.replace(/[^\p{L}\p{N}]+/gu, "-");
    if (grid.selectedImage) void save([grid.selectedImage], app.manifest, name);
  });
  button("save-all").addEventListener("click", () => {
    void save(grid.images, app.manifest, app.manifest.array ? "samples" : "pictures");
  });
  button("paint").addEventListener("click", () => {
    if (grid.selectedImage) paint(grid.selectedImage);
  });
}
