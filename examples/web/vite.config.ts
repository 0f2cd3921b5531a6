import { defineConfig } from "vite";

// With these two headers the browser lets WebAssembly have threads. A host that cannot send them
// still works, on one thread.
const headers = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export default defineConfig({
  // So that the built page works under any path of any host.
  base: "./",
  appType: "mpa",
  // onnxruntime-web then takes its .mjs and .wasm files from where engine.ts says, so that only
  // those it names are copied to the page.
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser"] },
  optimizeDeps: { exclude: ["onnxruntime-web"] },
  worker: { format: "es" },
  build: { target: "es2022", assetsInlineLimit: 0 },
  server: { headers },
  preview: { headers },
});
