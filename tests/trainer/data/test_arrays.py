"""Arrays in memory: what is held out, statistics, fingerprints, classes."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from array_files import array_config, save_arrays

from diffkiln.trainer.config import TrainConfig
from diffkiln.trainer.data.arrays import array_statistics, load_arrays
from diffkiln.trainer.errors import InputError


def rows_of(images: Any) -> set[bytes]:
    return {row.tobytes() for row in images.take(np.arange(len(images)))}


def saved(path: Path, samples: np.ndarray, **arrays: Any) -> Path:
    np.savez(path, samples=samples, **arrays)
    return path


X = np.random.default_rng(1).normal(size=(400, 3)).astype(np.float32)


def test_what_is_held_out_does_not_follow_from_the_order(tmp_path: Path) -> None:
    one = saved(tmp_path / "a.npz", X)
    other = saved(tmp_path / "b.npz", X[::-1].astype(np.float64))
    first, second = (load_arrays(array_config(path, eval_split="10%")) for path in (one, other))
    # Three standard deviations of a binomial distribution.
    assert abs(len(first.held_out) - 40) <= 18
    assert len(first.train) + len(first.held_out) == 400
    every = np.arange(len(first.held_out))
    np.testing.assert_array_equal(first.held_out.take(every), second.held_out.take(every))
    assert not rows_of(first.train) & rows_of(first.held_out)
    assert rows_of(first.train) == rows_of(second.train)


def test_nothing_is_held_out_by_default(tmp_path: Path) -> None:
    sets = load_arrays(array_config(saved(tmp_path / "a.npz", X)))
    assert (len(sets.train), len(sets.held_out)) == (400, 0)
    np.testing.assert_array_equal(sets.train.take(np.arange(400)), X)


def test_another_file_may_be_held_out(tmp_path: Path) -> None:
    path, other = saved(tmp_path / "a.npz", X[:300]), saved(tmp_path / "b.npz", X[300:])
    sets = load_arrays(array_config(path, eval_split=f"npz:{other}"))
    assert rows_of(sets.held_out) == {row.tobytes() for row in X[300:]}
    wrong = save_arrays(tmp_path / "c.npz", (9, 2))
    with pytest.raises(InputError, match=r"its samples have shape \[2\]; expected \[3\], as the"):
        load_arrays(array_config(path, eval_split=f"npz:{wrong}"))


def test_equal_samples_cannot_be_divided(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", np.ones((9, 2)))
    with pytest.raises(InputError, match=r"^eval_split=10%: holds out all of 9 samples; give a sm"):
        load_arrays(array_config(path, eval_split="10%"))


@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_statistics_are_those_of_float64(offset: float) -> None:
    x = np.random.default_rng(0).normal(size=(50, 4, 3)) * [1, 10, 0.1] + offset
    x = x.astype(np.float32)
    mean, std = array_statistics([x[:20], x[20:]])
    np.testing.assert_allclose(mean, x.mean((0, 1), np.float64), rtol=1e-12)
    np.testing.assert_allclose(std, x.std((0, 1), np.float64), rtol=1e-9)


def test_a_constant_entry_has_a_deviation_of_one() -> None:
    x = np.stack([np.arange(8), np.full(8, 1e6), np.zeros(8)], 1).astype(np.float32)
    mean, std = array_statistics([x])
    assert mean == (3.5, 1e6, 0.0)
    assert std == (np.arange(8).std(), 1.0, 1.0)


def test_a_fingerprint_is_of_numbers_and_labels(tmp_path: Path) -> None:
    labels = np.arange(400) % 2
    path = saved(tmp_path / "a.npz", X, labels=labels)
    moved = Path(shutil.copy(path, tmp_path / "b.npz"))
    other = saved(tmp_path / "c.npz", X, labels=1 - labels)
    plain = [load_arrays(array_config(each)).fingerprint for each in (path, moved, other)]
    assert len(set(plain)) == 1
    known = [load_arrays(array_config(each, num_classes=2)) for each in (path, moved, other)]
    first, second, third = (each.fingerprint for each in known)
    assert first == second != third
    assert known[0].train.labels.tolist() == labels.tolist()


def test_classes_must_be_those_of_the_data(tmp_path: Path) -> None:
    path = save_arrays(tmp_path / "a.npz", (9, 2), labels=[0, 2] * 4 + [0])
    with pytest.raises(InputError, match=r"^num_classes=2: .* has 3 classes \(0, 1, 2\); give num"):
        load_arrays(array_config(path, num_classes=2))
    with pytest.raises(InputError, match=r"^no sample of class '1' to train on; expected at least"):
        load_arrays(array_config(path, num_classes=3))


def test_more_samples_than_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_arrays(tmp_path / "a.npz", (9, 2))
    monkeypatch.setattr("diffkiln.trainer.data.arrays.machine_memory_bytes", lambda: 71)
    with pytest.raises(InputError, match=r"its samples take 0.0 GB as float32; expected at most"):
        load_arrays(array_config(path))


def test_a_record_has_no_settings_of_pictures(tmp_path: Path) -> None:
    config = array_config(save_arrays(tmp_path / "a.npz", (9, 4, 2)))
    record = config.to_json()
    assert record["array_shape"] == (4, 2)
    assert not {"image_size", "channels", "fit", "augment", "task", "kid_images"} & record.keys()
    assert TrainConfig.from_json({**record, "array_shape": [4, 2]}) == config


def test_a_file_may_lie_elsewhere_but_its_shape_counts(tmp_path: Path) -> None:
    one, same, other = (
        array_config(save_arrays(tmp_path / f"{number}.npz", (9, size)))
        for number, size in enumerate((2, 2, 3))
    )
    assert not one.differences(same)
    assert one.differences(other) == ["array_shape: (2,), not (3,)"]


def test_held_out_classes_must_be_known(tmp_path: Path) -> None:
    path = save_arrays(tmp_path / "a.npz", (9, 2), labels=[0, 1, 0] * 3)
    other = save_arrays(tmp_path / "b.npz", (9, 2), labels=[0, 1, 2] * 3)
    with pytest.raises(InputError, match=r"^eval_split=npz:.* has 3 classes \(0, 1, 2, …\); exp"):
        load_arrays(array_config(path, num_classes=2, eval_split=f"npz:{other}"))
