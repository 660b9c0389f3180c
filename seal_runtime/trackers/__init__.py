"""Send the figures of metrics.jsonl to TensorBoard, Weights & Biases or MLflow, from a process of their own."""
