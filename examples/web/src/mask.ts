/** Draws a mask over a picture, with a pointer or with the keyboard. */

import { find } from "./dom";

const MARKED = [234, 88, 12, 170];
const BRUSH = [255, 255, 255, 120];

export class MaskEditor {
  readonly #canvas: HTMLCanvasElement;
  #mask = new Uint8Array(0);
  #size = { width: 1, height: 1 };
  #brush = { x: 0, y: 0 };

  /** `radius` and `erasing` are called at each stroke. */
  constructor(
    easel: HTMLElement,
    private readonly radius: () => number,
    private readonly erasing: () => boolean,
  ) {
    this.#canvas = find(easel, ".mask-layer", HTMLCanvasElement);
    this.#canvas.addEventListener("pointerdown", (event) => this.#press(event));
    this.#canvas.addEventListener("pointermove", (event) => this.#drag(event));
    this.#canvas.addEventListener("pointerleave", () => this.#draw(false));
    this.#canvas.addEventListener("keydown", (event) => this.#key(event));
    this.#canvas.addEventListener("focus", () => this.#draw(true));
    this.#canvas.addEventListener("blur", () => this.#draw(false));
  }

  /** uint8 [H,W,1]: 0 keeps a pixel, 1 repaints it. */
  get mask(): Uint8Array {
    return this.#mask;
  }

  get isEmpty(): boolean {
    return !this.#mask.includes(1);
  }

  reset(width: number, height: number): void {
    this.#size = { width, height };
    this.#canvas.width = width;
    this.#canvas.height = height;
    this.#brush = { x: Math.floor(width / 2), y: Math.floor(height / 2) };
    this.clear();
  }

  clear(): void {
    this.#mask = new Uint8Array(this.#size.width * this.#size.height);
    this.#draw(false);
  }

  #press(event: PointerEvent): void {
    this.#canvas.setPointerCapture(event.pointerId);
    this.#brush = this.#position(event);
    this.#stamp();
    this.#draw(true);
  }

  #drag(event: PointerEvent): void {
    const { x, y } = this.#position(event);
    const distance = Math.max(Math.abs(x - this.#brush.x), Math.abs(y - this.#brush.y));
    const from = this.#brush;
    // A fast pointer jumps; the stroke must have no gaps.
    for (let step = 1; step <= distance; step++) {
      const share = step / distance;
      this.#brush = {
        x: Math.round(from.x + share * (x - from.x)),
        y: Math.round(from.y + share * (y - from.y)),
      };
      if (event.buttons === 1) this.#stamp();
    }
    this.#draw(true);
  }

  #key(event: KeyboardEvent): void {
    const moves: Record<string, [number, number]> = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    };
    const move = moves[event.key];
    if (move) {
      this.#brush = {
        x: Math.min(this.#size.width - 1, Math.max(0, this.#brush.x + move[0])),
        y: Math.min(this.#size.height - 1, Math.max(0, this.#brush.y + move[1])),
      };
    } else if (event.key === " ") this.#stamp();
    else if (event.key === "Delete") this.clear();
    else return;
    event.preventDefault();
    this.#draw(true);
  }

  #position(event: PointerEvent): { x: number; y: number } {
    const box = this.#canvas.getBoundingClientRect();
    return {
      x: Math.floor(((event.clientX - box.left) / box.width) * this.#size.width),
      y: Math.floor(((event.clientY - box.top) / box.height) * this.#size.height),
    };
  }

  #stamp(): void {
    const value = this.erasing() ? 0 : 1;
    for (const place of this.#underBrush()) this.#mask[place] = value;
  }

  #underBrush(): number[] {
    const { width, height } = this.#size;
    const radius = this.radius();
    const places: number[] = [];
    for (let y = Math.max(0, this.#brush.y - radius); y <= this.#brush.y + radius; y++) {
      for (let x = Math.max(0, this.#brush.x - radius); x <= this.#brush.x + radius; x++) {
        const away = (x - this.#brush.x) ** 2 + (y - this.#brush.y) ** 2;
        if (x < width && y < height && away < radius ** 2) places.push(y * width + x);
      }
    }
    return places;
  }

  #draw(withBrush: boolean): void {
    const { width, height } = this.#size;
    const picture = new ImageData(width, height);
    this.#mask.forEach((marked, place) => {
      if (marked) picture.data.set(MARKED, place * 4);
    });
    if (withBrush) for (const place of this.#underBrush()) picture.data.set(BRUSH, place * 4);
    this.#canvas.getContext("2d")!.putImageData(picture, 0, 0);
  }
}
