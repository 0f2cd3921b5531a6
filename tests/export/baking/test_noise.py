"""The noise against known answers, its reference, and the normal distribution."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from diffkiln.export.baking.noise import gaussian_noise, seed_words, threefry
from diffkiln.export.proof.reference_noise import reference_noise, reference_words

# Random123's published vectors for threefry2x32, 20 rounds: key, counter, words.
KNOWN_ANSWERS = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]

# Seed, stream and the first numbers of version 1 of the definition; a change here is a new version.
GOLDEN = [
    (0, 0, [-1.0654526572765741, -0.7792125515346809, 0.03239898865493613, -1.5203082335971614]),
    (1, 1, [-0.06511184655564912, 0.43030972213541124, 0.04153697379751885, -0.6757420619884051]),
    (2**32 + 7, 0, [1.3771643254371215, -2.193381061308023, 0.9642888441838762, -0.90902290308057]),
]


def words(key: tuple[int, int], counter: tuple[int, int]) -> tuple[int, int]:
    def pair(values: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor]:
        first, second = np.array(values, np.uint32).astype(np.int32)
        return tf.constant(first), tf.constant(second)

    a, b = threefry(pair(key), pair(counter))
    return int(a) % 2**32, int(b) % 2**32


def noise(seeds: list[int], shape: tuple[int, int, int] = (8, 8, 3), stream: int = 0) -> np.ndarray:
    return gaussian_noise(
        tf.constant(seeds, tf.int64), shape, stream=tf.constant(stream, tf.int64)
    ).numpy()


@pytest.mark.parametrize(("key", "counter", "expected"), KNOWN_ANSWERS)
def test_threefry_gives_the_known_answers(
    key: tuple[int, int], counter: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert words(key, counter) == expected


def test_the_reference_gives_the_known_answer() -> None:
    a, b = reference_words(0, 1)
    assert (int(a[0]), int(b[0])) == (0x6B200159, 0x99BA4EFE)


@given(st.integers(0, 2**63 - 1), st.integers(0, 1000))
def test_tensorflow_and_reference_agree_on_every_word(seed: int, stream: int) -> None:
    a, b = reference_words(seed, 3, stream=stream)
    key = (seed % 2**32, seed // 2**32)
    assert [words(key, (i, stream)) for i in range(3)] == list(zip(a, b, strict=True))


@given(st.integers(0, 2**63 - 1) | st.integers(0, 2**31).map(lambda x: 2**63 - 1 - x))
def test_the_words_of_a_seed(seed: int) -> None:
    low, high = (int(word) % 2**32 for word in seed_words(tf.constant(seed, tf.int64)))
    assert (low, high) == (seed % 2**32, seed // 2**32)


@pytest.mark.parametrize("stream", [0, 5])
def test_noise_is_the_references_in_float32(stream: int) -> None:
    seeds = [0, 1, 2**32 + 7, 2**62]
    expected = reference_noise(seeds, (8, 8, 3), stream=stream)
    # Numbers up to 6, from float32 logarithms, roots and cosines.
    np.testing.assert_allclose(noise(seeds, stream=stream), expected, atol=4e-6)


@pytest.mark.parametrize(("seed", "stream", "numbers"), GOLDEN)
def test_noise_is_version_1(seed: int, stream: int, numbers: list[float]) -> None:
    np.testing.assert_allclose(
        reference_noise([seed], (1, 1, 4), stream=stream).ravel(), numbers, atol=1e-12
    )
    np.testing.assert_allclose(noise([seed], (1, 1, 4), stream).ravel(), numbers, atol=4e-6)


def test_an_images_noise_depends_on_its_own_seed_alone() -> None:
    np.testing.assert_array_equal(noise([3, 4, 5])[1], noise([4])[0])


def test_an_odd_count_drops_the_last_number() -> None:
    np.testing.assert_array_equal(
        noise([7], (1, 1, 3))[0, 0, 0], noise([7], (1, 1, 4))[0, 0, 0, :3]
    )


@pytest.mark.parametrize("seeds", [range(64), range(2**62, 2**62 + 64)], ids=["small", "large"])
def test_numbers_are_standard_normal(seeds: range) -> None:
    numbers = noise(list(seeds), (32, 32, 3)).ravel().astype(np.float64)
    count = numbers.size
    # Five standard errors each: of the mean, the variance and the fourth moment.
    assert abs(numbers.mean()) < 5 / count**0.5
    assert abs(numbers.var() - 1) < 5 * (2 / count) ** 0.5
    assert abs((numbers**4).mean() - 3) < 5 * (96 / count) ** 0.5


def test_seeds_and_streams_are_unrelated() -> None:
    first, other = noise([0], (64, 64, 3)).ravel(), noise([1], (64, 64, 3)).ravel()
    later = noise([0], (64, 64, 3), stream=1).ravel()
    limit = 5 / first.size**0.5
    assert abs(np.mean(first * other)) < limit
    assert abs(np.mean(first * later)) < limit


def test_no_key_and_counter_is_used_twice() -> None:
    """Threefry maps the counters of a key one to one, so equal pairs would be equal counters.

    Pairs of two keys, or pairs rounded to 48 bits, are equal by chance in one of 10,000 tests.
    """
    seeds = [0, 1, 2**32, 2**32 + 1, 2**62]
    numbers = [noise(seeds, (32, 32, 3), stream) for stream in (*range(20), 999)]
    pairs = np.stack(numbers).reshape(-1, 2)
    assert len(np.unique(pairs, axis=0)) == len(pairs)
