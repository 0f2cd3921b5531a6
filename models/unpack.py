"""Write models/flowers64-student/ema.weights.h5 from runtime/flowers.bundle/sampler.onnx.

    python models/unpack.py            # makes the folder a run, to export or to begin from
    python models/unpack.py --index    # after a new export of the flowers: writes weights.json

The repository holds the weights once, in the graph. The graph has the exact bytes of each weight,
rounded to float16; a few short ones are float32 again. Kernels are [out, in, height, width], all
others have their own shape. weights.json has the places.
"""

import hashlib
import json
import sys
from pathlib import Path

import h5py
import numpy as np

RUN = Path(__file__).parent / "flowers64-student"
GRAPH = Path(__file__).parents[1] / "runtime" / "flowers.bundle" / "sampler.onnx"
WEIGHTS, INDEX = RUN / "ema.weights.h5", RUN / "weights.json"


def unpack(out: Path = WEIGHTS) -> None:
    """Write the weights, in the layout of Keras's `save_weights`; exit if the graph is another."""
    index, content = json.loads(INDEX.read_text(encoding="utf-8")), GRAPH.read_bytes()
    with h5py.File(out, "w") as file:
        file.attrs["step"] = index["step"]
        digest = hashlib.sha256()
        for path, (offset, dtype, shape) in index["weights"].items():
            values = np.frombuffer(content, dtype, int(np.prod(shape)), offset).reshape(shape)
            digest.update(values.tobytes())
            file[path] = values.transpose(2, 3, 1, 0) if values.ndim == 4 else values
    if digest.hexdigest() != index["sha256"]:
        out.unlink()
        sys.exit(
            f"{GRAPH}: holds other weights than {INDEX} expects; run this with --index, with the "
            f"{WEIGHTS.name} that the graph was exported from"
        )


def index() -> None:
    """Write where the graph holds the weights of ema.weights.h5; exit if it lacks one."""
    content, digest, places = GRAPH.read_bytes(), hashlib.sha256(), {}

    def place(path: str, item: object) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        values = item[()].transpose(3, 2, 0, 1) if item.ndim == 4 else item[()]
        for dtype in ("<f2", "<f4"):
            stored = values.astype("<f2").astype(dtype).tobytes()
            if (offset := content.find(stored)) >= 0:
                digest.update(stored)
                places[path] = [offset, dtype, list(values.shape)]
                return
        sys.exit(f"{GRAPH}: does not hold {path} of {WEIGHTS}; export the flowers again")

    with h5py.File(WEIGHTS) as file:
        file.visititems(place)
        step = int(np.asarray(file.attrs["step"]))
    entries = ",\n".join(f"    {json.dumps(path)}: {json.dumps(at)}" for path, at in places.items())
    head = f'{{\n  "step": {step},\n  "sha256": "{digest.hexdigest()}",\n  "weights": {{\n'
    INDEX.write_text(f"{head}{entries}\n  }}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    index() if "--index" in sys.argv[1:] else unpack(*map(Path, sys.argv[1:]))
