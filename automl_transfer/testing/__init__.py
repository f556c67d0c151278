"""Tiny stand-ins for tests, ours and those of plugin authors."""
