/** Where the files of a bundle come from: an address, or the visitor's disk. */

import { BundleError } from "./errors";

/** Called with the number of bytes that have arrived, and of those expected. */
export type OnBytes = (received: number, expected: number) => void;

export interface BundleSource {
  readonly name: string;
  /**
   * The content of a file by its path inside the bundle, or undefined if there is none. If it
   * is longer than `limit`, reading stops a few bytes later, so that an endless file does no harm.
   */
  read(path: string, limit: number, onBytes?: OnBytes): Promise<ArrayBuffer | undefined>;
}

/** A bundle on a web server; `address` leads to its folder or its bundle.json. */
export function sourceFromUrl(address: string): BundleSource {
  const folder = folderUrl(address);
  return {
    name: decodeURIComponent(folder.pathname.split("/").at(-2) || folder.host),
    async read(path, limit, onBytes) {
      const url = new URL(path, folder);
      const response = await fetch(url).catch(() => {
        throw new BundleError(
          `${url} cannot be fetched; check the address, and that its server allows other pages ` +
            "to read it (CORS)",
        );
      });
      if (response.status === 404) return undefined;
      if (!response.ok || response.body === null) {
        throw new BundleError(`${url}: the server answered ${response.status}; check the address`);
      }
      return readUpTo(response.body, limit, onBytes);
    },
  };
}

function folderUrl(address: string): URL {
  try {
    const url = new URL(address.trim(), document.baseURI);
    url.pathname = url.pathname.replace(/(\/bundle\.json|\/)?$/, "/");
    return url;
  } catch {
    throw new BundleError(`'${address}' is not an address, expected one like flowers.bundle/`);
  }
}

async function readUpTo(
  stream: ReadableStream<Uint8Array>,
  limit: number,
  onBytes?: OnBytes,
): Promise<ArrayBuffer> {
  const chunks: Uint8Array[] = [];
  const reader = stream.getReader();
  let received = 0;
  while (received <= limit) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    received += value.byteLength;
    onBytes?.(received, limit);
  }
  await reader.cancel();
  return new Blob(chunks as BlobPart[]).arrayBuffer();
}

/** A bundle from files that were chosen or dropped, by their paths. */
export function sourceFromFiles(files: ReadonlyMap<string, File>): BundleSource {
  const manifest = [...files.keys()]
    .filter((path) => path === "bundle.json" || path.endsWith("/bundle.json"))
    .sort((a, b) => a.length - b.length)[0];
  const folder = manifest?.slice(0, -"bundle.json".length) ?? "";
  const first = files.keys().next().value ?? "";
  return {
    name: folder.split("/").at(-2) ?? (manifest ? "bundle" : (first.split("/")[0] ?? "")),
    async read(path, limit) {
      return files.get(folder + path)?.slice(0, limit + 1).arrayBuffer();
    },
  };
}

/** The files of an `<input type="file">`, with or without webkitdirectory. */
export function chosenFiles(list: FileList): Map<string, File> {
  return new Map([...list].map((file) => [file.webkitRelativePath || file.name, file]));
}

/** The files that were dropped, including those inside folders. */
export async function droppedFiles(items: DataTransferItemList): Promise<Map<string, File>> {
  const files = new Map<string, File>();
  const entries: FileSystemEntry[] = [];
  // All at once, since the browser empties the list after the first pause.
  for (const item of items) {
    const entry = item.webkitGetAsEntry();
    const file = item.getAsFile();
    if (entry) entries.push(entry);
    else if (file) files.set(file.name, file);
  }
  await Promise.all(entries.map((entry) => collect(entry, files)));
  return files;
}

async function collect(entry: FileSystemEntry, files: Map<string, File>): Promise<void> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) =>
      (entry as FileSystemFileEntry).file(resolve, reject),
    );
    files.set(entry.fullPath.slice(1), file);
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    // The browser gives a hundred at a time, and none at the end.
    const batch = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (batch.length === 0) return;
    await Promise.all(batch.map((child) => collect(child, files)));
  }
}
