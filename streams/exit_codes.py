"""How processes of handoff end; a supervisor starts again what ended with EXIT_CRASHED, and nothing else."""

from __future__ import annotations

from typing import Final

EXIT_STOPPED: Final = 0
EXIT_REFUSED: Final = 2
"""Settings, declarations or topics are wrong: starting again would not help."""
EXIT_CRASHED: Final = 70
"""A state that the process cannot explain or leave (EX_SOFTWARE of sysexits.h): start it again."""
