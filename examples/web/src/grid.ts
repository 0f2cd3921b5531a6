/** A grid of pictures that fills in; one of them is selected, by pointer or arrow keys. */

import type { Manifest } from "./manifest";
import type { Pixels } from "./messages";
import { show, shownSize, split } from "./samples";

interface Tile {
  element: HTMLElement;
  canvas: HTMLCanvasElement;
  image?: Pixels;
}

export class ImageGrid {
  #tiles: Tile[] = [];
  #selected = 0;
  #manifest!: Manifest;
  onchange: () => void = () => {};

  constructor(private readonly root: HTMLElement) {
    root.addEventListener("keydown", (event) => this.#move(event));
  }

  /** Clears the grid and makes a place for each label. */
  reset(labels: readonly string[], manifest: Manifest): void {
    this.#manifest = manifest;
    this.#tiles = labels.map((label, index) => this.#tile(label, index));
    this.root.replaceChildren(...this.#tiles.map((tile) => tile.element));
    const { width, height } = shownSize(manifest);
    this.root.style.setProperty("--ratio", `${width} / ${height}`);
    this.select(0);
    if (labels.length > 0) this.root.scrollIntoView({ block: "nearest" });
  }

  /** Shows images [N,H,W,C] in the places from `first` on. */
  put(first: number, images: Pixels): void {
    split(images, this.#manifest).forEach((image, number) => {
      const tile = this.#tiles[first + number]!;
      tile.image = image;
      tile.element.classList.remove("waiting");
      show(tile.canvas, image, this.#manifest);
    });
    this.onchange();
  }

  get isEmpty(): boolean {
    return this.#tiles.length === 0;
  }

  /** All images so far. */
  get images(): Pixels[] {
    return this.#tiles.flatMap((tile) => tile.image ?? []);
  }

  get selected(): number {
    return this.#selected;
  }

  get selectedImage(): Pixels | undefined {
    return this.#tiles[this.#selected]?.image;
  }

  get selectedLabel(): string {
    return this.#tiles[this.#selected]?.element.getAttribute("aria-label") ?? "";
  }

  select(index: number): void {
    this.#selected = index;
    this.#tiles.forEach(({ element }, place) => {
      element.setAttribute("aria-selected", String(place === index));
      element.tabIndex = place === index ? 0 : -1;
    });
    this.onchange();
  }

  #tile(label: string, index: number): Tile {
    const element = document.createElement("div");
    element.className = "tile waiting";
    element.setAttribute("role", "option");
    element.setAttribute("aria-label", label);
    const canvas = document.createElement("canvas");
    const caption = document.createElement("span");
    caption.textContent = label;
    element.append(canvas, caption);
    element.addEventListener("click", () => this.select(index));
    element.addEventListener("focus", () => this.select(index));
    return { element, canvas };
  }

  #move(event: KeyboardEvent): void {
    const ways: Record<string, number> = {
      ArrowLeft: this.#selected - 1,
      ArrowRight: this.#selected + 1,
      ArrowUp: this.#selected - this.#columns(),
      ArrowDown: this.#selected + this.#columns(),
      Home: 0,
      End: this.#tiles.length - 1,
    };
    const index = ways[event.key];
    const tile = index === undefined ? undefined : this.#tiles[index];
    if (tile === undefined) return;
    event.preventDefault();
    tile.element.focus();
  }

  #columns(): number {
    const tops = this.#tiles.map(({ element }) => element.offsetTop);
    return tops.filter((top) => top === tops[0]).length;
  }
}
