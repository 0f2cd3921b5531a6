"""Draw eight pictures with a bundle's sampler.onnx: python sample.py SAMPLER.onnx OUT.png."""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(sys.argv[1])
known = session.get_modelmeta().custom_metadata_map
feeds = {"seeds": np.arange(8), "steps": np.array(20)}
if classes := json.loads(known["diffkiln.model"]).get("class_names"):
    guidance = json.loads(known["diffkiln.sampler"])["default_guidance"]
    feeds |= {"labels": np.arange(8) % len(classes), "guidance": np.array(guidance, np.float32)}
(images,) = session.run(None, feeds)
Image.fromarray(np.hstack(images)).save(sys.argv[2])
