"""Kafka clients: settings, named consumer configurations, reading to the end, producing, offsets and lag."""

__all__ = ["consumers", "lag", "offsets", "produce", "read", "settings"]
