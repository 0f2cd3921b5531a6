"""KID against a plain sum, closed forms, and what an unbiased estimator owes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from diffkiln.trainer.quality.kid import kid


def gaussian(seed: int, count: int, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(count, len(mean))) + mean


def mean_of_powers(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """E[(x·y/d + 1)³] for x ~ N(a, I), y ~ N(b, I), by the moments of s = x·y.

    E s = a·b; E s² = tr((I + aaᵀ)(I + bbᵀ)) = d + |a|² + |b|² + (a·b)²; for E s³ multiply
    E x_i x_j x_k = a_i a_j a_k + a_i δ_jk + a_j δ_ik + a_k δ_ij with the same of y, and sum.
    """
    d, ab, squares = len(a), a @ b, a @ a + b @ b
    second = d + squares + ab**2
    third = ab**3 + 3 * ab * squares + (3 * d + 6) * ab
    return float(third / d**3 + 3 * second / d**2 + 3 * ab / d + 1)


def shifted(mean: NDArray[np.float64]) -> float:
    """MMD² of N(0, I) and N(μ, I)."""
    zero = np.zeros_like(mean)
    within = mean_of_powers(zero, zero) + mean_of_powers(mean, mean)
    return within - 2 * mean_of_powers(zero, mean)


def test_the_sum_over_pairs() -> None:
    x, y = gaussian(0, 5, np.zeros(3)), gaussian(1, 4, np.ones(3))

    def mean(one: NDArray[np.float64], other: NDArray[np.float64], same: bool) -> float:
        kernel = [
            (float(np.dot(p, q)) / 3 + 1) ** 3
            for i, p in enumerate(one)
            for j, q in enumerate(other)
            if not (same and i == j)
        ]
        return sum(kernel) / len(kernel)

    expected = mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
    # The same sum in another order of float64.
    assert kid(x, y).mean == pytest.approx(expected, rel=1e-12)


def test_the_moments_are_those_of_many_draws() -> None:
    a, b = np.array([0.5, -1.0, 0.3]), np.array([1.0, 0.2, -0.4])
    s = np.sum(gaussian(0, 400_000, a) * gaussian(1, 400_000, b), axis=1)
    drawn = (s / 3 + 1) ** 3
    # Four standard errors: a right formula fails one seed in sixteen thousand; this one is fixed.
    assert abs(drawn.mean() - mean_of_powers(a, b)) < 4 * drawn.std() / np.sqrt(len(drawn))


def test_the_shift_in_one_formula() -> None:
    mean = np.array([0.5, -1.0, 0.3, 0.0])
    d, m = 4, mean @ mean
    expected = 3 * m / d + 3 * m**2 / d**2 + (m**3 + 6 * m**2 + (3 * d + 6) * m) / d**3
    assert shifted(mean) == pytest.approx(expected, rel=1e-12)  # rounding of float64


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_the_mean_over_draws_is_the_distance(shift: float) -> None:
    mean = np.full(8, shift)
    values = [
        kid(gaussian(2 * seed, 12, np.zeros(8)), gaussian(2 * seed + 1, 9, mean)).mean
        for seed in range(2000)
    ]
    # Four standard errors, as above; sets this small would show any bias, which goes with 1/n.
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - shifted(mean)) < 4 * error


def test_a_set_and_itself() -> None:
    x = gaussian(0, 20, np.zeros(5))
    kernel = (x @ x.T / 5 + 1) ** 3
    of_pairs = (kernel.sum() - np.trace(kernel)) / (20 * 19)
    # The sum over all pairs has the diagonal, which those within a set leave out.
    expected = 2 / 20 * (of_pairs - np.trace(kernel) / 20)
    assert kid(x, x).mean == pytest.approx(expected, rel=1e-10)  # cancellation in float64
    assert expected < 0


@given(seed=st.integers(0, 2**32 - 1))
def test_order_does_not_matter(seed: int) -> None:
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(9, 3)), generator.normal(size=(7, 3))
    # The same sums in another order, of terms that partly cancel.
    turned = kid(generator.permutation(x), generator.permutation(y)).mean
    assert turned == pytest.approx(kid(x, y).mean, rel=1e-9, abs=1e-12)
    assert kid(y, x).mean == pytest.approx(kid(x, y).mean, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_the_standard_error_is_that_of_the_mean(shift: float) -> None:
    mean = np.full(8, shift)
    found = [
        kid(gaussian(2 * seed, 60, np.zeros(8)), gaussian(2 * seed + 1, 40, mean))
        for seed in range(1000)
    ]
    spread = np.std([distance.mean for distance in found])
    error = np.sqrt(np.mean([distance.standard_error**2 for distance in found]))
    # A standard deviation of a thousand numbers is known to 2 %. Terms of second order add what
    # goes with 1/n; where both distributions are one they are all there is.
    assert 0.9 * spread < error < (1.2 if shift else 1.7) * spread


def test_portions_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = gaussian(0, 11, np.zeros(3)), gaussian(1, 7, np.ones(3))
    whole = kid(x, y)
    monkeypatch.setattr("diffkiln.trainer.quality.kid._ROWS", 4)
    # The same sums, of matrix products in other blocks.
    assert kid(x, y).mean == pytest.approx(whole.mean, rel=1e-10)
    assert kid(x, y).standard_error == pytest.approx(whole.standard_error, rel=1e-10)


def test_float32_features_are_summed_in_float64() -> None:
    x = gaussian(0, 30, np.full(6, 50.0)).astype(np.float32)
    y = gaussian(1, 30, np.full(6, 50.0)).astype(np.float32)
    assert kid(x, y) == kid(x.astype(np.float64), y.astype(np.float64))


GOOD = gaussian(0, 6, np.zeros(3))


@pytest.mark.parametrize(
    ("samples", "reference", "message"),
    [
        (GOOD[0], GOOD, r"^samples: features of shape \[3\], expected \[n, d\]"),
        (GOOD, GOOD[:1], r"^reference: features of shape \[1, 3\], expected .* at least 2"),
        (GOOD, GOOD[:, :2], "^features of 3 and 2 numbers: expected the same number in both sets"),
        (GOOD, GOOD * np.nan, "^reference: 18 features are not finite"),
    ],
)
def test_bad_input_is_refused(samples: Any, reference: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kid(samples, reference)
