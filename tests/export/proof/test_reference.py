"""The float64 reference refuses what it does not implement, for the certificate rests on it."""

from typing import Any

import numpy as np
import pytest

from diffkiln.export.proof.reference import ReferenceSampler
from diffkiln.export.proof.truth import Truth
from diffkiln.trainer.errors import InputError

COSINE = {"name": "cosine", "max_signal_rate": 0.95, "min_signal_rate": 0.02}
DISCRETE = {"name": "ddpm_linear", "steps": 10}


def reference(**settings: Any) -> ReferenceSampler:
    settings = {"schedule": COSINE, "prediction": "noise", "clip": True, **settings}
    return ReferenceSampler(lambda x, _: x, pixel_mean=(0.5,), pixel_std=(0.25,), **settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"time_grid": "cubic"}, "time_grid=cubic"),
        ({"time_grid": "cubic", "schedule": DISCRETE}, "time_grid=cubic"),
        ({"conditioning": "beta"}, "conditioning=beta"),
        ({"prediction": "score"}, "prediction=score"),
        ({"solver": "euler"}, "solver=euler"),
        ({"schedule": {"name": "sigmoid"}}, "schedule=sigmoid"),
    ],
)
def test_an_unknown_name_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=f"{words}: expected one that the float64 reference"):
        reference(**settings).from_noise(np.zeros((1, 2, 2, 1)), 2)


def test_a_graph_that_nothing_is_known_of_is_refused() -> None:
    image = {"height": 2, "width": 2, "channels": 1, "dtype": "uint8"}
    description = {"image": image, "model": {}}
    with pytest.raises(InputError, match="graph=poem"):
        Truth(reference(), np.array([0]), 1, description).result("poem")
