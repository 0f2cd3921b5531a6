"""What gets baked: the sampler's parts as TensorFlow functions, and the SavedModel."""
