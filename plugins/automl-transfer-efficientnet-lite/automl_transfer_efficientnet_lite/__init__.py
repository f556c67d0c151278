"""EfficientNet-Lite1 and -Lite2 for automl-transfer."""
