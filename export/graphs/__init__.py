"""From TensorFlow functions to tidy ONNX graphs."""
