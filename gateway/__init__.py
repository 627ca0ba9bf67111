"""The ingress: MLLP, HTTP and folder listeners, and an MLLP client. Others import only the modules in `__all__`."""

__all__ = ["client", "config", "serve"]
