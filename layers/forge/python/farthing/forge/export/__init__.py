"""From trained models to float32 ONNX graphs."""
