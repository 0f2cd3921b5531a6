"""Train a diffusion model on photographs with tf.keras.

`diffkiln-train` is the way in; what it writes is the run directory that `diffkiln.export` reads.
"""
