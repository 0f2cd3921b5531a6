"""Loads a bundle's graphs with onnxruntime and runs them for any number of images."""
