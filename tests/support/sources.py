"""Reading our own sources."""

import ast
import gc
from pathlib import Path


def parse(path: Path) -> ast.Module:
    """The syntax tree of a file.

    Without garbage collection: in CPython 3.11 a finalizer that runs while a tree is built, such as that of a Kafka
    client that some test has killed, makes `ast.parse` fail (python/cpython#106905).
    """
    gc.disable()
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    finally:
        gc.enable()
