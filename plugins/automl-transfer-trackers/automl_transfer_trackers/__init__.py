"""Searches of automl-transfer in TensorBoard, MLflow and Weights & Biases."""
