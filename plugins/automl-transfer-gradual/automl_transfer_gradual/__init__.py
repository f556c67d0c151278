"""Freeze strategies of automl-transfer that train a network a part at a time."""
