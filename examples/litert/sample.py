"""Draw eight pictures with a bundle's sampler.tflite: python sample.py SAMPLER.tflite OUT.ppm.

For each condition of the model, NAME=FILE.npy follows: one for all pictures, or [8, …]. If the
bundle draws arrays that are no pictures, OUT.npy gets them: float32 [8, …].
"""

import json
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

file, out = map(Path, sys.argv[1:3])
manifest = json.loads((file.parent / "bundle.json").read_text("utf-8"))
draws_arrays = "array" in manifest
if draws_arrays and out.suffix != ".npy":
    sys.exit(f"{out}: the bundle draws arrays that are no pictures, expected OUT.npy")
image = manifest.get("image", {"channels": 3, "dtype": "uint8"})
if (image["channels"], image["dtype"]) != (3, "uint8"):
    sys.exit(f"{file}: expected a bundle of RGB images with --image_dtype=uint8")
steps = np.array(manifest["sampler"]["default_steps"], np.int64)
feeds = {"seeds": np.arange(8, dtype=np.int64), "steps": steps}
if classes := manifest["model"].get("class_names"):
    feeds["labels"] = feeds["seeds"] % len(classes)
if "default_guidance" in manifest["sampler"]:
    feeds["guidance"] = np.array(manifest["sampler"]["default_guidance"], np.float32)
given = dict(text.split("=", 1) for text in sys.argv[3:])
for each in manifest.get("conditions", []):
    name, is_left_out = each["name"], each["name"] not in given
    if is_left_out and "default" not in each:
        sys.exit(f"expected {name}=FILE.npy, {each['dtype']} {each['shape']}")
    rows = np.array(each["default"], each["dtype"]) if is_left_out else np.load(given[name])
    feeds[name] = np.broadcast_to(rows, (8, *each["shape"])).copy()

interpreter = Interpreter(str(file))
# Not kept: nothing can be resized while a runner holds the interpreter.
inputs = interpreter.get_signature_runner().get_input_details()
outputs = interpreter.get_signature_runner().get_output_details()
for name in feeds.keys() - {"steps", "guidance"}:
    interpreter.resize_tensor_input(inputs[name]["index"], feeds[name].shape)
interpreter.allocate_tensors()
# One step first: LiteRT's first run after a resize may be wrong from its second step on.
for count in (np.array(1, np.int64), steps):
    for name, values in (feeds | {"steps": count}).items():
        interpreter.set_tensor(inputs[name]["index"], values)
    interpreter.invoke()
if draws_arrays:
    np.save(out, interpreter.get_tensor(outputs["samples"]["index"]))
else:
    images = np.hstack(interpreter.get_tensor(outputs["images"]["index"]))
    height, width, _ = images.shape
    out.write_bytes(f"P6 {width} {height} 255\n".encode() + images.tobytes())
