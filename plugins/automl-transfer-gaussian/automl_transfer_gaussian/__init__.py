"""Heads of automl-transfer that follow from a Gaussian model of the features."""
