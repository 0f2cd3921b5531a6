"""Draws eight pictures with a bundle's sampler.onnx: python sample.py SAMPLER.onnx OUT.png."""

import sys

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(sys.argv[1])
(images,) = session.run(None, {"seeds": np.arange(8), "steps": np.array(20)})
Image.fromarray(np.hstack(images)).save(sys.argv[2])
