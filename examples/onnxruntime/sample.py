"""Draw eight pictures with a bundle's sampler.onnx: python sample.py SAMPLER.onnx OUT.png.

For each condition of the model, NAME=FILE.npy follows: one for all pictures, or [8, …]. If the
bundle draws arrays that are no pictures, OUT.npy gets them: float32 [8, …].
"""

import json
import os
import sys

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when onnxruntime is imported

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(sys.argv[1])
known = session.get_modelmeta().custom_metadata_map
draws_arrays, out = "diffkiln.array" in known, sys.argv[2]
if draws_arrays and not out.endswith(".npy"):
    sys.exit(f"{out}: the bundle draws arrays that are no pictures, expected OUT.npy")
sampler = json.loads(known["diffkiln.sampler"])
seeds, steps = np.arange(8, dtype=np.int64), np.array(sampler["default_steps"], dtype=np.int64)
feeds = {"seeds": seeds, "steps": steps}
if classes := json.loads(known["diffkiln.model"]).get("class_names"):
    feeds["labels"] = seeds % len(classes)
if "default_guidance" in sampler:
    feeds["guidance"] = np.array(sampler["default_guidance"], np.float32)
given = dict(text.split("=", 1) for text in sys.argv[3:])
for each in json.loads(known.get("diffkiln.conditions", "[]")):
    name, is_left_out = each["name"], each["name"] not in given
    if is_left_out and "default" not in each:
        sys.exit(f"expected {name}=FILE.npy, {each['dtype']} {each['shape']}")
    rows = np.array(each["default"], each["dtype"]) if is_left_out else np.load(given[name])
    feeds[name] = np.broadcast_to(rows, (8, *each["shape"]))
for each in session.get_inputs():  # numbers are [], or [1] with --numbers_as_lists
    if each.name in ("steps", "guidance"):
        feeds[each.name] = feeds[each.name].reshape([1] * len(each.shape))
(samples,) = session.run(None, feeds)
if draws_arrays:
    np.save(out, samples)
else:
    levels = samples if samples.dtype == np.uint8 else np.rint(255 * samples).astype(np.uint8)
    row = np.hstack(levels)
    Image.fromarray(row[..., 0] if row.shape[-1] == 1 else row).save(out)
