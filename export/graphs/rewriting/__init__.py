"""ONNX graphs rewritten so that they compute the same faster, or in another precision."""
