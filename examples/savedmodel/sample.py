"""Draws eight pictures with a bundle's SavedModel: python sample.py SAVED_MODEL OUT.png."""

import sys

import numpy as np
import tensorflow as tf
from PIL import Image

model = tf.saved_model.load(sys.argv[1])
sample = model.signatures["serving_default"]
images = sample(seeds=tf.range(8, dtype=tf.int64), steps=tf.constant(20, tf.int64))["images"]
Image.fromarray(np.hstack(images.numpy())).save(sys.argv[2])
