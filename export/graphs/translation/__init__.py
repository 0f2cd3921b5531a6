"""TensorFlow to ONNX: what is put right before, while and after tf2onnx converts a function."""
