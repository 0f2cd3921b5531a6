"""Draw eight pictures with a bundle's SavedModel: python sample.py SAVED_MODEL OUT.png.

For each condition of the model, NAME=FILE.npy follows: one for all pictures, or [8, …]. If the
bundle draws arrays that are no pictures, OUT.npy gets them: float32 [8, …].
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

manifest = json.loads((Path(sys.argv[1]).parent / "bundle.json").read_text("utf-8"))
draws_arrays, out = "array" in manifest, sys.argv[2]
if draws_arrays and not out.endswith(".npy"):
    sys.exit(f"{out}: the bundle draws arrays that are no pictures, expected OUT.npy")
model = tf.saved_model.load(sys.argv[1])
steps = tf.constant(manifest["sampler"]["default_steps"], tf.int64)
feeds = {"seeds": tf.range(8, dtype=tf.int64), "steps": steps}
if classes := manifest["model"].get("class_names"):
    feeds["labels"] = feeds["seeds"] % len(classes)
if "default_guidance" in manifest["sampler"]:
    feeds["guidance"] = tf.constant(manifest["sampler"]["default_guidance"], tf.float32)
given = dict(text.split("=", 1) for text in sys.argv[3:])
for each in manifest.get("conditions", []):
    name, is_left_out = each["name"], each["name"] not in given
    if is_left_out and "default" not in each:
        sys.exit(f"expected {name}=FILE.npy, {each['dtype']} {each['shape']}")
    rows = np.array(each["default"], each["dtype"]) if is_left_out else np.load(given[name])
    feeds[name] = tf.constant(np.broadcast_to(rows, (8, *each["shape"])))
outputs = model.signatures["serving_default"](**feeds)
if draws_arrays:
    np.save(out, outputs["samples"].numpy())
else:
    images = outputs["images"].numpy()
    levels = images if images.dtype == np.uint8 else np.rint(255 * images).astype(np.uint8)
    row = np.hstack(levels)
    Image.fromarray(row[..., 0] if row.shape[-1] == 1 else row).save(out)
