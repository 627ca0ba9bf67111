"""The engine of a worker: one Kafka transaction for each poll (docs/engine.md).

`streams.worker` puts its parts together; others import only the modules in `__all__`.
"""

__all__ = ["options"]
