"""Draw eight pictures with a bundle's sampler.onnx: python sample.py SAMPLER.onnx OUT.png."""

import json
import os
import sys

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when onnxruntime is imported

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(sys.argv[1])
known = session.get_modelmeta().custom_metadata_map
sampler = json.loads(known["diffkiln.sampler"])
seeds, steps = np.arange(8, dtype=np.int64), np.array(sampler["default_steps"], dtype=np.int64)
feeds = {"seeds": seeds, "steps": steps}
if classes := json.loads(known["diffkiln.model"]).get("class_names"):
    guidance = np.array(sampler["default_guidance"], np.float32)
    feeds |= {"labels": seeds % len(classes), "guidance": guidance}
(images,) = session.run(None, feeds)
Image.fromarray(np.hstack(images)).save(sys.argv[2])
