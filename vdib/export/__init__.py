"""A trained run in the files of other tools: safetensors, ONNX, NIR."""
