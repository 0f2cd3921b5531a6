/** Opens a bundle from an address, or from files that are dropped or chosen. */

import { messageOf, showMessage } from "./app";
import { Bundle } from "./bundle";
import { byId } from "./dom";
import {
  type BundleSource,
  chosenFiles,
  droppedFiles,
  sourceFromFiles,
  sourceFromUrl,
} from "./source";

export function setUpOpening(onBundle: (bundle: Bundle) => void): void {
  const open = async (source: () => BundleSource | Promise<BundleSource>, address?: string) => {
    showMessage("");
    try {
      onBundle(await Bundle.open(await source()));
      remember(address);
    } catch (error) {
      showMessage(messageOf(error));
    }
  };
  setUpDrop((items) => open(async () => sourceFromFiles(await droppedFiles(items))));
  for (const id of ["folder", "files"]) {
    const input = byId(id, HTMLInputElement);
    input.addEventListener("change", () => {
      const files = chosenFiles(input.files!);
      // So that the same folder can be chosen again after a repair.
      input.value = "";
      if (files.size > 0) void open(() => sourceFromFiles(files));
    });
  }
  setUpAddress((address) => open(() => sourceFromUrl(address), address));
}

function setUpDrop(onDrop: (items: DataTransferItemList) => void): void {
  const drop = byId("drop", HTMLElement);
  // Anywhere on the page: the browser would open a file that misses the field.
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) drop.classList.remove("over");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer?.types.includes("Files")) onDrop(event.dataTransfer.items);
  });
}

function setUpAddress(onAddress: (address: string) => void): void {
  const field = byId("address", HTMLInputElement);
  byId("address-form", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    onAddress(field.value);
  });
  const given = new URLSearchParams(location.search).get("bundle");
  if (given) {
    field.value = given;
    onAddress(given);
  }
}

/** Adds the bundle's address to the page's address, so that a reload or a link opens it again. */
function remember(address?: string): void {
  const url = new URL(location.href);
  if (address === undefined) url.searchParams.delete("bundle");
  else url.searchParams.set("bundle", address);
  history.replaceState(null, "", url);
}
