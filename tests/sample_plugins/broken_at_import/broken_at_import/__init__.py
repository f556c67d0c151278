"""Raises at import."""

raise RuntimeError("this plugin was built for another planet")
