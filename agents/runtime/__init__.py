"""The runtime of a stage, free of HL7 and of the program: the contract of a stage, deciding chunks, the row store."""

from agents.runtime.chunk import decide_chunk, questions
from agents.runtime.contract import Context, Emit, Record, Stage
from agents.runtime.rename import renamed
from agents.runtime.store import ChunkResult, MemoryStore, RowStore

__all__ = [
    "ChunkResult",
    "Context",
    "Emit",
    "MemoryStore",
    "Record",
    "RowStore",
    "Stage",
    "decide_chunk",
    "questions",
    "renamed",
]
