"""Loads a bundle's graphs with onnxruntime and runs them over any number of images."""
