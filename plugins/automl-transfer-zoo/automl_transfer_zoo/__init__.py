"""A directory of weights with JSON cards as backbones of automl-transfer."""
