/** The bar at the foot of the page: progress, speed, backend. */

import { byId } from "./dom";
import type { Backend, Progress } from "./messages";

const bar = byId("progress", HTMLProgressElement);
const text = byId("status-text", HTMLElement);
const timing = byId("timing", HTMLElement);
const cancel = byId("cancel", HTMLButtonElement);

/** Shows a text that screen readers read aloud, so not one for every step. */
export function say(message: string): void {
  text.textContent = message;
}

export function onCancel(action: () => void): void {
  cancel.addEventListener("click", action);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !cancel.disabled) action();
  });
}

/** While a job runs, it can be cancelled, and no other can start. */
export function setBusy(busy: boolean): void {
  cancel.disabled = !busy;
  document.body.classList.toggle("busy", busy);
  for (const button of document.querySelectorAll<HTMLButtonElement>(".start")) {
    button.disabled = busy;
  }
}

/** Shows a share from 0 to 1; undefined is work of unknown length. */
export function showShare(share: number | undefined): void {
  if (share === undefined) bar.removeAttribute("value");
  else bar.value = share;
}

export function showProgress({ done, total, stepMs, together }: Progress): void {
  showShare(done / total);
  const each = together > 1 ? `, ${together} at once` : "";
  const far = total > 1 ? `${done} of ${total} · ` : "";
  timing.textContent = `${far}${stepMs.toFixed(stepMs < 10 ? 1 : 0)} ms a step${each}`;
}

export function showBytes(file: string, received: number, expected: number): void {
  showShare(received / expected);
  timing.textContent = `${file}: ${megabytes(received)} of ${megabytes(expected)} MB`;
}

export const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);

export function showBackend(backend: Backend, threads: number): void {
  const wasm = `WebAssembly, ${threads} ${threads === 1 ? "thread" : "threads"}`;
  const place = byId("running-on", HTMLElement);
  place.textContent = backend === "wasm" ? wasm : `WebGPU, noise on ${wasm}`;
  if (!globalThis.crossOriginIsolated) {
    place.title = "This host sends no cross-origin isolation headers; without them there is only one thread.";
  }
}
