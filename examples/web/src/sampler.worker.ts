/** The worker: it owns onnxruntime, so that the page never waits for it. */

import { Engine } from "./engine";
import { work } from "./jobs";
import type { FromWorker, ImageShape, Job, ToWorker } from "./messages";

let engine: Engine;
let shape: ImageShape;
let cancelled = false;

self.onmessage = async ({ data }: MessageEvent<ToWorker>) => {
  if (data.type === "cancel") {
    cancelled = true;
    return;
  }
  try {
    await answer(data);
  } catch (error) {
    say({ type: "failed", message: error instanceof Error ? error.message : String(error) });
  }
};

async function answer(request: Exclude<ToWorker, { type: "cancel" }>): Promise<void> {
  if (request.type === "start") {
    engine = await Engine.start(request.backend);
    shape = request.shape;
    say({ type: "started", threads: engine.threads });
  } else if (request.type === "graph") {
    await engine.load(request.name, request.content);
    say({ type: "loaded", name: request.name });
  } else {
    await run(request.job);
  }
}

async function run(job: Job): Promise<void> {
  cancelled = false;
  for await (const progress of work(engine, shape, job)) {
    say({ type: "progress", progress });
    await incomingMessages();
    if (cancelled) break;
  }
  say({ type: "finished", cancelled });
}

/** Lets a "cancel" message in: awaiting onnxruntime alone never yields the thread. */
function incomingMessages(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

function say(message: FromWorker): void {
  self.postMessage(message);
}
