"""The least that is a manifest, for tests that change it."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

GRAPH = b"the bytes of a graph"

TEXT = {
    "name": "text",
    "dtype": "float32",
    "shape": [2, 3],
    "description": "two words, as numbers",
    "null": 0,
}
AGE = {"name": "age", "dtype": "int64", "shape": [], "minimum": 3, "maximum": 9}
SKETCH = {"name": "sketch", "dtype": "uint8", "shape": [4, 5, 1], "pixel_mean": [0.5]}


def manifest() -> dict[str, Any]:
    """One that has all that a manifest must have."""
    return {
        "format": "diffkiln-bundle",
        "format_version": 1,
        "image": {"height": 8, "width": 6, "channels": 3, "dtype": "uint8"},
        "model": {
            "parameters": 1,
            "prediction": "noise",
            "conditioning": "time",
            "precision": "float32",
        },
        "schedule": {"name": "ddpm_linear", "steps": 1000},
        "pixel_mean": [0.5],
        "pixel_std": [0.5],
        "sampler": {
            "solver": "ddim",
            "eta": 0,
            "clip": True,
            "time_grid": "linear",
            "default_steps": 20,
            "max_steps": 1000,
            "unrolled": None,
        },
        "noise": {
            "version": 1,
            "golden": [{"seed": 0, "stream": 0, "words": [[0, 1]], "noise": [0.5]}],
        },
        "versions": {},
        "graphs": {
            "sampler": {
                "file": "sampler.onnx",
                "opset": 18,
                "inputs": [
                    {"name": "seeds", "dtype": "int64", "shape": ["N"]},
                    {"name": "steps", "dtype": "int64", "shape": []},
                ],
                "outputs": [{"name": "images", "dtype": "uint8", "shape": ["N", 8, 6, 3]}],
            }
        },
        "certificate": {
            "seeds": [0],
            "steps": [1],
            "batches": [1],
            "tolerance": 0.004,
            "mean_tolerance": 0.004,
            "to_reference": {},
            "onnx_to_saved_model": {"largest": 0, "mean": 0},
        },
        "files": {
            "sampler.onnx": {"sha256": hashlib.sha256(GRAPH).hexdigest(), "bytes": len(GRAPH)}
        },
    }


def conditioned(*entries: dict[str, Any]) -> dict[str, Any]:
    """A manifest whose sampler takes these conditions."""
    values = manifest() | {"format_version": 3, "conditions": copy.deepcopy(list(entries))}
    values["graphs"]["sampler"]["inputs"] += [
        {"name": entry["name"], "dtype": entry["dtype"], "shape": ["N", *entry["shape"]]}
        for entry in entries
    ]
    return values


def write(folder: Path, values: object) -> Path:
    (folder / "bundle.json").write_text(json.dumps(values))
    (folder / "sampler.onnx").write_bytes(GRAPH)
    return folder
