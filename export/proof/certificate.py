"""The parity certificate: proof that every baked form of a sampler is the sampler.

`certify.py` makes it; the manifest of a bundle holds it.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ..graphs.cuda_check import CudaCheck

ONNX, SAVED_MODEL = "sampler.onnx", "saved_model serving_default"


@dataclass(frozen=True)
class Difference:
    """Largest and mean absolute difference of pixels, in units where pixels lie in [0, 1]."""

    largest: float
    mean: float


@dataclass(frozen=True)
class Certificate:
    """How far each form of the bundle is from the reference, and on what they were compared.

    No largest difference is more than `tolerance`, and no mean more than `mean_tolerance`.
    `onnx_to_saved_model` is None where there is no SavedModel. `cuda` says what of each ONNX graph
    a GPU has no kernels for.
    """

    seeds: tuple[int, ...]
    steps: tuple[int, ...]
    batches: tuple[int, ...]
    tolerance: float
    mean_tolerance: float
    to_reference: dict[str, Difference]
    onnx_to_saved_model: Difference | None
    cuda: dict[str, CudaCheck]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without entries that are None."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        return json.loads(json.dumps(values))

    def comparisons(self) -> Iterator[tuple[str, Difference]]:
        """All comparisons with their names in words."""
        for name, difference in self.to_reference.items():
            yield f"{name} to float64 reference", difference
        if self.onnx_to_saved_model is not None:
            yield f"{ONNX} to {SAVED_MODEL}", self.onnx_to_saved_model

    def table(self) -> str:
        """The comparisons as lines of text, below a title."""
        lines = [f"Parity over seeds {list(self.seeds)}, steps {list(self.steps)}:"]
        lines += [
            f"  {name:50} largest {255 * d.largest:6.3f}/255   mean {255 * d.mean:8.5f}/255"
            for name, d in self.comparisons()
        ]
        for name, check in self.cuda.items():
            lines += [f"  {name}.onnx on CUDA: no kernel for {each}" for each in check.fallbacks]
            if check.noise_nodes:
                lines.append(
                    f"  {name}.onnx on CUDA: the CPU draws fresh noise, copied in each step"
                )
        if not any(check.fallbacks for check in self.cuda.values()):
            lines.append(
                "  All operators of the network and the steps have CUDA kernels in onnxruntime."
            )
        return "\n".join(lines)
