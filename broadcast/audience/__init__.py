"""The directory of recipients and groups: import, groups, audiences as chunks."""

from broadcast.audience.chunks import ChunkError, ChunkRows, chain, chunk_digest, read_chunk
from broadcast.audience.look_alikes import Doubt, explain_doubts, find_doubts, suggest
from broadcast.audience.resolution import Audience, count_members, has_people, missing_groups, resolve

__all__ = [
    "Audience",
    "ChunkError",
    "ChunkRows",
    "Doubt",
    "chain",
    "chunk_digest",
    "count_members",
    "explain_doubts",
    "find_doubts",
    "has_people",
    "missing_groups",
    "read_chunk",
    "resolve",
    "suggest",
]
