"""Bake a trained diffusion model into a bundle: TensorFlow SavedModel and ONNX graphs."""
