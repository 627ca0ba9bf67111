"""The operations page: lag, feeds, dead letters, candidates. Others import only the modules in `__all__`."""

__all__ = ["config", "serve"]
