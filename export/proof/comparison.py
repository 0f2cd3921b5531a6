"""What the forms of a bundle draw, beside the reference, each other, and a picture alone."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...trainer.errors import InputError, first_line
from .forms import Form
from .reference import ReferenceSampler
from .truth import Truth

ONNX, SAVED_MODEL = "sampler.onnx", "saved_model serving_default"
SEEDS = (0, 12345, 2**32 + 7)

# Absolute differences of the pixels of each case.
Differences = list[np.ndarray]


@dataclass
class Comparison:
    """What was drawn, and how far apart it is: by form, and of ONNX from the SavedModel.

    `to_alone` compares the first picture of a batch with the same seed alone. `drawn` are the
    pixels of the last case.
    """

    to_reference: dict[str, Differences]
    to_alone: dict[str, Differences]
    to_each_other: Differences
    drawn: np.ndarray


def compare(
    forms: Sequence[Form],
    description: Mapping[str, Any],
    reference: ReferenceSampler,
    batches: Sequence[int],
    all_steps: Sequence[int],
) -> Comparison:
    """Draw with every form: the two samplers all cases, others the first seed in a large batch.

    Raises InputError for a form that cannot be run.
    """
    compared = Comparison({form.name: [] for form in forms}, {}, [], np.empty(0))
    alone: dict[tuple[str, int, int], np.ndarray] = {}
    for batch, first, steps in itertools.product(batches, SEEDS, all_steps):
        seeds = np.arange(first, first + batch, dtype=np.int64)
        truth = Truth(reference, seeds, steps, description)
        pixels = {}
        for form in (form for form in forms if _runs(form, seeds, steps, max(batches))):
            pixels[form.name] = drawn = truth.pixels(form.graph, _run(form, truth))
            expected = truth.pixels(form.graph, truth.result(form.graph))
            _require_size(form, drawn.size, expected.size)
            compared.to_reference[form.name].append(np.abs(drawn - expected))
            if form.graph == "sampler":
                own = alone.setdefault((form.name, first, steps), drawn)
                apart = np.abs(drawn[: len(own)] - own)
                compared.to_alone.setdefault(form.name, []).append(apart)
        if ONNX in pixels and SAVED_MODEL in pixels:
            compared.to_each_other.append(np.abs(pixels[ONNX] - pixels[SAVED_MODEL]))
        compared.drawn = pixels.get(ONNX, compared.drawn)
    return compared


def _run(form: Form, truth: Truth) -> np.ndarray:
    try:
        return form.run(truth.tensors)
    except Exception as error:  # of onnxruntime or TensorFlow, whatever it is
        raise InputError(
            f"network: {form.name} does not run on {len(truth.seeds)} images "
            f"({first_line(error)}); expected a network for any number of images: look for a "
            "layer that reshapes to a fixed batch"
        ) from error


def _require_size(form: Form, received: int, expected: int) -> None:
    if received != expected:
        raise InputError(
            f"network: {form.name} gives {received} numbers, expected {expected}; one of its "
            "layers was converted wrongly: leave parts of it out to find which"
        )


def _runs(form: Form, seeds: np.ndarray, steps: int, largest_batch: int) -> bool:
    if form.steps not in (None, steps) or form.batch not in (None, len(seeds)):
        return False
    first = seeds[0] == SEEDS[0] and len(seeds) == (form.batch or largest_batch)
    return form.graph == "sampler" or bool(first)
