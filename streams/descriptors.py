"""How many file descriptors this process may have open (`RLIMIT_NOFILE`)."""

from __future__ import annotations

import resource
from contextlib import suppress


def descriptor_limit() -> int:
    """The soft limit, which is the one in force."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_descriptor_limit() -> None:
    """Raise the soft limit to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # where the hard limit is "none", the kernel may have a lower one
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
