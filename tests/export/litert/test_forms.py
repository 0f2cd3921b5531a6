"""LiteRT's forms of a sampler's parts give the same numbers as the parts."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from diffkiln.export.baking import noise
from diffkiln.export.litert.forms import in_litert_forms
from diffkiln.trainer.maths.schedules import DiscreteSchedule, ddpm_cosine, ddpm_linear


def both(compute: Callable[[], tf.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """What is computed in LiteRT's forms, and otherwise."""
    with in_litert_forms():
        formed = compute().numpy()
    return formed, compute().numpy()


@pytest.mark.parametrize("schedule", [ddpm_linear(), ddpm_cosine(10_000)])
@pytest.mark.parametrize("grid", ["linear", "linspace", "quadratic", "karras"])
def test_timesteps(schedule: DiscreteSchedule, grid: str) -> None:
    most = schedule.max_steps

    def timesteps() -> tf.Tensor:
        times = []
        for steps in (1, 7, 20, most):
            places = [tf.constant(k, tf.int64) for k in range(0, steps + 1, 1 + most // 99)]
            count = tf.constant(steps, tf.int64)
            times += [schedule.grid_time(place, count, grid) for place in places]
        return tf.stack(times) * most

    np.testing.assert_array_equal(*both(timesteps))


@pytest.mark.parametrize("bits", [3, 8, 26])
def test_shifts(bits: int) -> None:
    words = tf.constant([0, 1, -1, 2**31 - 1, -(2**31), 0x12345678], tf.int32)
    np.testing.assert_array_equal(*both(lambda: noise.right_shift(words, bits)))


def test_choices_between_bytes() -> None:
    mask, others = tf.constant([0, 1, 255], tf.uint8), tf.constant([7, 8, 9], tf.uint8)
    formed, plain = both(lambda: tf.where(mask > 0, mask, others))
    np.testing.assert_array_equal(formed, plain)
    assert formed.dtype == np.uint8


def test_arctangents() -> None:
    formed, plain = both(lambda: tf.atan(tf.constant([-3.0, 0.0, 0.5, 80.0])))
    # Two ways to the last digit of float32.
    np.testing.assert_allclose(formed, plain, rtol=3e-7)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="closes stderr as a POSIX shell does")
def test_quiet_needs_no_stderr() -> None:
    program = "from diffkiln.export.litert.quiet import quiet\nwith quiet():\n    print('done')"
    command = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, program]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "done\n"
