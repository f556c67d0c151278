"""A third party's backbone, head and freeze strategy."""
