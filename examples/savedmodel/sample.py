"""Draw eight pictures with a bundle's SavedModel: python sample.py SAVED_MODEL OUT.png."""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

model = tf.saved_model.load(sys.argv[1])
manifest = json.loads((Path(sys.argv[1]).parent / "bundle.json").read_text("utf-8"))
steps = tf.constant(manifest["sampler"]["default_steps"], tf.int64)
feeds = {"seeds": tf.range(8, dtype=tf.int64), "steps": steps}
if classes := manifest["model"].get("class_names"):
    guidance = tf.constant(manifest["sampler"]["default_guidance"], tf.float32)
    feeds |= {"labels": feeds["seeds"] % len(classes), "guidance": guidance}
images = model.signatures["serving_default"](**feeds)["images"]
Image.fromarray(np.hstack(images.numpy())).save(sys.argv[2])
