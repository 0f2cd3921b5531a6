"""Precision and recall on sets whose answers are known."""

import numpy as np
import pytest

from diffkiln.trainer.quality.precision_recall import precision_recall

RNG = np.random.default_rng(0)


def grid(*shifts: float) -> np.ndarray:
    """Squares of 5 × 5 points one unit apart, moved along the first axis."""
    square = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), axis=-1).reshape(-1, 2)
    return np.concatenate([square + np.array([shift, 0]) for shift in shifts])


def test_the_same_set_twice_is_all_there() -> None:
    assert precision_recall(grid(0), grid(0)) == (1, 1)


def test_sets_far_apart_share_nothing() -> None:
    assert precision_recall(grid(0), grid(100)) == (0, 0)


def test_a_forgotten_mode_costs_recall_alone() -> None:
    assert precision_recall(grid(0), grid(0, 100)) == (1, 0.5)


def test_an_invented_mode_costs_precision_alone() -> None:
    assert precision_recall(grid(0, 100), grid(0)) == (0.5, 1)


def test_a_ball_reaches_to_the_third_neighbour() -> None:
    line, far = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([[5.9], [6.1], [50.0], [60.0]])
    # The end of the line reaches 3 further, to 6.
    assert precision_recall(far, line).precision == 0.25
    assert precision_recall(far, line, neighbours=2).precision == 0


def test_neither_order_nor_place_matters() -> None:
    x, y = RNG.normal(size=(40, 6)), RNG.normal(size=(50, 6)) + 0.5
    expected = precision_recall(x, y)
    assert precision_recall(x[::-1] + 3, y[::-1] + 3) == expected
    assert precision_recall(y, x) == expected[::-1]
    assert 0 < expected.recall < 1


@pytest.mark.parametrize(
    ("samples", "reference", "message"),
    [
        (np.zeros((3, 2)), np.zeros((9, 2)), "samples: features of 3 images, expected more than"),
        (np.zeros((9, 2)), np.zeros((9, 3)), "features of 2 and 3 numbers: expected the same"),
        (np.full((9, 2), np.nan), np.zeros((9, 2)), "samples: 18 features are not finite"),
        (np.zeros(9), np.zeros((9, 2)), r"samples: features of shape \[9\], expected \[n, d\]"),
    ],
)
def test_what_is_no_two_sets(samples: np.ndarray, reference: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        precision_recall(samples, reference)
