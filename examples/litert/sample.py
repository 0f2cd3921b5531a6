"""Draw eight pictures with a bundle's sampler.tflite: python sample.py SAMPLER.tflite OUT.ppm."""

import json
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

file, picture = map(Path, sys.argv[1:])
manifest = json.loads((file.parent / "bundle.json").read_text("utf-8"))
steps = np.array(manifest["sampler"]["default_steps"], np.int64)
feeds = {"seeds": np.arange(8, dtype=np.int64), "steps": steps}
if classes := manifest["model"].get("class_names"):
    guidance = np.array(manifest["sampler"]["default_guidance"], np.float32)
    feeds |= {"labels": feeds["seeds"] % len(classes), "guidance": guidance}

interpreter = Interpreter(str(file))
# Not kept: nothing can be resized while a runner holds the interpreter.
inputs = interpreter.get_signature_runner().get_input_details()
outputs = interpreter.get_signature_runner().get_output_details()
for name in feeds.keys() & {"seeds", "labels"}:
    interpreter.resize_tensor_input(inputs[name]["index"], feeds[name].shape)
interpreter.allocate_tensors()
for name, values in feeds.items():
    interpreter.set_tensor(inputs[name]["index"], values)
interpreter.invoke()
images = np.hstack(interpreter.get_tensor(outputs["images"]["index"]))
height, width, _ = images.shape
picture.write_bytes(f"P6 {width} {height} 255\n".encode() + images.tobytes())
