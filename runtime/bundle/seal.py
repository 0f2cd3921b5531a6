"""The seal of an ONNX file: its own SHA-256, as the last entry of the model's metadata_props.

In protobuf a repeated field may continue at the end of a message, so a sealed model is still an
ordinary model. The file alone shows whether it is whole, and damage shows even if somebody has
corrected the hashes in the manifest.
"""

import hashlib
from typing import IO

KEY = "diffkiln.sha256"

# A JSON text, like all of diffkiln's metadata: in quotation marks.
_VALUE_BYTES = 64 + 2
# ModelProto.metadata_props is field 14; key and value are fields 1 and 2 of its entry.
_HEAD = bytes([14 << 3 | 2, 4 + len(KEY) + _VALUE_BYTES, 1 << 3 | 2, len(KEY)])
_PREFIX = _HEAD + KEY.encode("ascii") + bytes([2 << 3 | 2, _VALUE_BYTES])
SEAL_BYTES = len(_PREFIX) + _VALUE_BYTES
# Most files are a single piece: between two pieces a thread waits for its turn to run.
_PIECE_BYTES = 2**24


def sealed(model: bytes) -> bytes:
    """Return the bytes of a serialised ModelProto, followed by their seal."""
    return model + _PREFIX + _value(hashlib.sha256(model).hexdigest())


def checked(stream: IO[bytes], size_bytes: int) -> tuple[str, str]:
    """Return the SHA-256 of a file, and what is wrong with its seal, or "".

    Reads `size_bytes` from the current position of the stream, in pieces.
    """
    digest, left = hashlib.sha256(), max(0, size_bytes - SEAL_BYTES)
    while left and (piece := stream.read(min(left, _PIECE_BYTES))):
        digest.update(piece)
        left -= len(piece)
    body, seal = digest.hexdigest(), stream.read(SEAL_BYTES)
    digest.update(seal)
    if not seal.startswith(_PREFIX):
        return digest.hexdigest(), f"has no seal: its last metadata entry is not {KEY}"
    if seal != _PREFIX + _value(body):
        return digest.hexdigest(), f"has a broken seal: what comes before it has SHA-256 {body}"
    return digest.hexdigest(), ""


def _value(digest: str) -> bytes:
    return f'"{digest}"'.encode("ascii")
