"""Learning tables from beginning to end: stopped and continued, judged, kept and refused."""

import itertools
import json
import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from enlarging_models import SMALL_PICTURE, SMALL_SHAPE, enlarging_network
from keras import layers
from latent_models import LATENTS, SHAPE, repeating_decoder
from small_models import PIXELS, array_network, conditioned_network, with_random_weights
from small_tables import random_tables

from diffkiln.export import Learning, export_bundle
from diffkiln.export.baking.signatures import Signatures
from diffkiln.export.graphs.conversion import convert
from diffkiln.export.learning import learn
from diffkiln.export.learning.file import TableFile, read_tables, subject_of
from diffkiln.export.learning.learn import Course, learn_tables
from diffkiln.export.learning.learner import Learner
from diffkiln.export.learning.teacher import Group, Subject, Teacher
from diffkiln.export.options import Baking, settings_as_objects
from diffkiln.export.preparing import baked_signatures, tables_of
from diffkiln.runtime import Sampler
from diffkiln.trainer.config import NetworkConfig
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.maths.plain_tables import plain_table
from diffkiln.trainer.maths.schedules import CosineSchedule, ddpm_linear
from diffkiln.trainer.network.unet import build_unet

SETTINGS: dict[str, Any] = {**PIXELS, "prediction": "velocity", "solver": "dpmpp_2m"}
FEW = Learning(steps=(2, 3), iterations=12)


@pytest.fixture(autouse=True)
def fewer_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough to take part in everything."""
    monkeypatch.setattr(learn, "TRAINING", 20)
    monkeypatch.setattr(learn, "HELD_OUT", 10)


def signatures_of(network: Any, **settings: Any) -> Signatures:
    return baked_signatures(network, *settings_as_objects(**{**SETTINGS, **settings}))


@pytest.fixture(scope="module")
def network() -> Any:
    return conditioned_network()


@pytest.fixture(scope="module")
def subject(network: Any) -> Subject:
    signatures = signatures_of(network)
    return Subject(signatures, convert(signatures.network))


def learned(subject: Subject, path: Path, settings: Learning = FEW) -> TableFile:
    file = TableFile({"weights": "these", "classes": None})
    learn_tables(subject, settings, file, path)
    return file


def test_what_was_stopped_goes_on_to_the_same_tables(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = learned(subject, tmp_path / "whole.json")
    assert whole.by_steps.keys() == {"2", "3"}
    assert not (tmp_path / "whole.json.part").exists()
    improve, calls = Learner.improve, 0

    def stopped(*arguments: Any) -> float:
        nonlocal calls
        calls += 1
        if calls in (1, 8, 20):
            raise KeyboardInterrupt
        return improve(*arguments)

    monkeypatch.setattr(Learner, "improve", stopped)
    file, path = TableFile({"weights": "these", "classes": None}), tmp_path / "parts.json"
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            learn_tables(subject, FEW, file, path)
        file = read_tables(path, file.subject) if path.exists() else file
    learn_tables(subject, FEW, file, path)
    assert path.read_text() == (tmp_path / "whole.json").read_text()


def latent_subject(decoder: Any) -> Subject:
    """A model of latents, whose decoder makes images of another shape and other channels."""
    codec = None if decoder is None else decoder, None
    settings: dict[str, Any] = {
        "mean": 1.5,
        "std": 3.0,
        "prediction": "velocity",
        "solver": "dpmpp_2m",
    }
    pixels: dict[str, Any] = {} if decoder is None else {"pixel_mean": 0.5, "pixel_std": 0.25}
    model, baking = settings_as_objects(**settings, **pixels)
    signatures = baked_signatures(array_network((4, 4, 4)), model, baking, codec)
    return Subject(signatures, convert(signatures.network, signatures.image_numbers))


def wide_decoder() -> Any:
    latents = keras.Input((4, 4, 4))
    return with_random_weights(keras.Model(latents, layers.Conv2DTranspose(3, 4, 4)(latents)))


def test_latents_are_learned_as_arrays_are_without_their_decoder(
    tmp_path: Path, caplog: Any
) -> None:
    caplog.set_level(logging.INFO, "diffkiln.export")
    tables = [
        learned(latent_subject(decoder), tmp_path / f"{place}.json").tables
        for place, decoder in enumerate((None, wide_decoder()))
    ]
    assert tables[0] is not None
    assert tables[0] == tables[1]
    assert caplog.text.count("root mean square in 255ths of a deviation") == 4


@pytest.mark.slow
def test_a_latent_model_goes_on_and_draws_with_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "b"
    settings: dict[str, Any] = {**LATENTS, "prediction": "velocity", "saved_model": False}
    settings |= {"graphs": ("sampler",), "learning": FEW, "decoder": repeating_decoder()}
    network, improve, calls = array_network(SHAPE), Learner.improve, itertools.count()

    def stopped(*arguments: Any) -> float:
        if next(calls) == 8:
            raise KeyboardInterrupt
        return improve(*arguments)

    monkeypatch.setattr(Learner, "improve", stopped)
    with pytest.raises(KeyboardInterrupt):
        export_bundle(network, bundle, **settings)
    assert [*tmp_path.glob("b.tables.json.part/*.npz")]
    export_bundle(network, bundle, **settings)
    # What was saved after five of twelve iterations was not learned again.
    assert next(calls) == 9 + 2 * 12 - 5
    judged = json.loads((tmp_path / "b.tables.json").read_text())["judged"]
    assert all(each["table"][0] < each["solver"][0] for each in judged.values())
    assert Sampler(bundle, device="cpu").sample(2, steps=3).shape == (2, 16, 16, 3)


@pytest.mark.slow
def test_a_cascade_learns_the_table_of_its_first_stage(tmp_path: Path) -> None:
    enlarges: dict[str, Any] = {**PIXELS, "prediction": "image", "conditions": SMALL_PICTURE}
    export_bundle(enlarging_network(), tmp_path / "second", solver="dpmpp_2m", **enlarges)
    settings: dict[str, Any] = {**SETTINGS, "graphs": ("sampler",), "saved_model": False}
    network, files = array_network(SMALL_SHAPE), []
    for name, then in (("alone", None), ("cascade", tmp_path / "second")):
        export_bundle(network, tmp_path / name, then=then, learning=FEW, **settings)
        files.append((tmp_path / f"{name}.tables.json").read_text())
    assert files[0] == files[1]
    assert json.loads(files[0])["by_steps"].keys() == {"2", "3"}
    assert Sampler(tmp_path / "cascade", device="cpu").sample(1, steps=3).shape == (1, 32, 24, 3)


def test_a_table_is_judged_on_other_noise_and_only_a_better_one_is_kept(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    caplog.set_level(logging.INFO, "diffkiln.export")
    course = Course(subject, FEW, tmp_path, lambda _: None, fixed_times=False)
    seeds = [set(group.seeds) for group in (*course.training, *course.held_out)]
    assert len(set.union(*seeds)) == sum(map(len, seeds)) == 30
    assert min(set.union(*seeds)) >= 2**62
    assert max(course.teacher_error()["distances"]) < 3
    worse = random_tables(2).by_steps[2]
    monkeypatch.setattr(Course, "learned", lambda *_: worse)
    file = learned(subject, tmp_path / "t.json", Learning(steps=(2,)))
    assert (file.by_steps, file.tables) == ({}, None)
    judged = file.judged["2"]
    assert judged["table"][0] > judged["solver"][0]
    assert "left out, since it is not better everywhere" in caplog.text


def test_what_was_learned_is_not_learned_again(
    network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signatures, baking = signatures_of(network), Baking(solver="dpmpp_2m")
    bundle = tmp_path / "b"
    first = tables_of(network, signatures, baking, Learning(steps=(2,), iterations=12), bundle)
    assert first is not None
    monkeypatch.setattr(Course, "learned", None)
    kept = Baking(solver="dpmpp_2m", tables=f"{bundle}.tables.json")
    assert tables_of(network, signatures, kept, None, bundle) == first
    assert tables_of(network, signatures, baking, Learning(steps=(2,)), bundle) == first


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_discrete_schedules_keep_whole_timesteps(dtype: str, tmp_path: Path) -> None:
    settings = {"schedule": ddpm_linear(), "conditioning": "timestep"}
    signatures = signatures_of(conditioned_network(dtype=dtype), **settings)
    subject = Subject(signatures, convert(signatures.network))
    file = TableFile({"classes": None})
    learn_tables(subject, FEW, file, tmp_path / "t.json", fixed_times=dtype == "int32")
    course = Course(subject, FEW, tmp_path, lambda _: None, fixed_times=dtype == "int32")
    for steps in (2, 3):
        table = course.learned(steps, None)
        for row in (table.times, table.network_times):
            np.testing.assert_allclose(1000 * np.array(row), np.round(1000 * np.array(row)))
        plain = plain_table(signatures.sampling.denoiser.schedule, steps)
        assert (table.times == plain.times) == (dtype == "int32")


def saved(path: Path, network: Any, **change: Any) -> Path:
    """A table file of the network, with entries changed."""
    sampling = signatures_of(network).sampling
    TableFile(subject_of(network, sampling), None, random_tables(3).to_json()["by_steps"]).write(
        path
    )
    content = json.loads(path.read_text())
    content |= change
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "poem"}, "is not a file of learned tables .*its format is poem"),
        ({"format_version": 2}, "is not a file of learned tables .*diffkiln-tables 2"),
        ({"by_steps": {"3": {}}}, "is not a file of learned tables .*times"),
        ({"by_steps": {"4": random_tables(3).to_json()["by_steps"]["3"]}}, "times=3: expected 4"),
        ({"by_steps": 7}, "is not a file of learned tables"),
        ({"subject": []}, "is not a file of learned tables"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(
    change: dict, words: str, network: Any, tmp_path: Path
) -> None:
    path = saved(tmp_path / "t.json", network, **change)
    with pytest.raises(InputError, match=rf"^tables={path}: .*{words}"):
        read_tables(path, subject_of(network, signatures_of(network).sampling))


def test_other_files_are_refused_too(network: Any, tmp_path: Path) -> None:
    subject = subject_of(network, signatures_of(network).sampling)
    for content in (b"", b"\xff\xfe", b"[1]", b"null", b'{"format": "diffkiln-tables"'):
        (tmp_path / "t").write_bytes(content)
        with pytest.raises(InputError, match="is not a file of learned tables"):
            read_tables(tmp_path / "t", subject)
    with pytest.raises(InputError, match=r"no such file; expected one that learning wrote"):
        read_tables(tmp_path / "none", subject)
    with pytest.raises(InputError, match="is not a file of learned tables"):
        read_tables(tmp_path, subject)


def test_a_table_of_another_model_is_refused(tmp_path: Path) -> None:
    network = conditioned_network()
    path = saved(tmp_path / "t.json", network)
    read_tables(path, subject_of(network, signatures_of(network).sampling))
    network.weights[0].assign_add(network.weights[0] * 1e-6 + 1e-6)
    for words, settings in (
        ("other weights", {}),
        ("solver dpmpp_2m, expected ddim", {"solver": "ddim"}),
        ("prediction velocity, expected noise", {"prediction": "noise"}),
        ("clip True, expected False", {"clip": False}),
    ):
        other = subject_of(network, signatures_of(network, **settings).sampling)
        other |= (
            {} if not settings else {"weights": json.loads(path.read_text())["subject"]["weights"]}
        )
        with pytest.raises(InputError, match=rf"^tables={path}: was learned for {words}"):
            read_tables(path, other)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": (1, 5)}, "learn_steps=1,5: expected step counts from 2 to 20"),
        ({"steps": (21,)}, "learn_steps=21: expected step counts from 2 to 20"),
        ({"steps": ()}, "learn_steps=: expected step counts"),
        ({"guidance": (3, 1)}, "learn_guidance=3,1: expected the least and the greatest"),
        ({"guidance": (1, 2, 3)}, "learn_guidance=1,2,3: expected the least and the greatest"),
        ({"guidance": (1, 101)}, "learn_guidance=1,101: .* from 0 to 100"),
        ({"steps": 5.5}, "learn_steps=5.5: expected step counts"),
        ({"steps": (4.0,)}, "learn_steps=4.0: expected step counts"),
        ({"guidance": 2}, "learn_guidance=2: expected the least and the greatest"),
        ({"iterations": 0}, "learn_iterations=0: expected a whole number from 1"),
        ({"seed": -1}, "learn_seed=-1: expected a whole number from 0"),
    ],
)
def test_settings_out_of_range(settings: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Learning(**settings)


def test_tables_for_another_guidance_are_not_mixed(subject: Subject, tmp_path: Path) -> None:
    file = TableFile({"classes": 3}, [1.0, 4.0], judged={"2": {}})
    with pytest.raises(InputError, match=r"has tables for guidance \[1.0, 4.0\], expected None"):
        learn_tables(subject, FEW, file, tmp_path / "t.json")


def class_subject() -> Subject:
    shape = NetworkConfig(8, (16,), 1, 2, num_classes=3)
    network = with_random_weights(build_unet(shape))
    signatures = signatures_of(network, class_names=("rose", "lily", "aster"))
    return Subject(signatures, convert(signatures.network))


def test_a_model_with_classes_learns_for_a_range_of_guidance(tmp_path: Path) -> None:
    """The ends of the range, which binary fractions cannot express, are judged as well."""
    subject, settings = class_subject(), Learning(steps=(3,), guidance=(1 / 3, 2.2), iterations=25)
    course = Course(subject, settings, tmp_path, lambda _: None, fixed_times=False)
    guidances = [group.guidance for group in course.training]
    assert (len(guidances), guidances[0], guidances[-1]) == (5, 1 / 3, 2.2)
    group = course.training[-1]
    assert group.evaluations(10) == 2 * 10 * group.count
    assert sorted(group.labels) == [0, 0, 1, 2] or len(set(group.labels)) == 3
    file = TableFile({"classes": 3})
    learn_tables(subject, settings, file, tmp_path / "t.json")
    judged = file.judged["3"]
    assert judged["guidances"] == guidances
    assert all(
        table != solver for table, solver in zip(judged["table"], judged["solver"], strict=True)
    )
    with pytest.raises(
        InputError, match=r"has tables for guidance \[0.33.*\], expected \(1.0, 4.0\)"
    ):
        learn_tables(subject, Learning(), file, tmp_path / "t.json")


def test_a_model_without_classes_has_no_guidance(subject: Subject, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^learn_guidance: the model knows no classes"):
        learned(subject, tmp_path / "t.json", Learning(guidance=(1.0, 4.0)))


def test_the_teacher_ends_where_there_is_noise(tmp_path: Path) -> None:
    """With a signal rate of 1, a step to time 0 would be infinite; with log_snr, no number."""
    settings = {"schedule": CosineSchedule(1.0, 0.02), "conditioning": "log_snr"}
    signatures = signatures_of(conditioned_network(), **settings)
    subject = Subject(signatures, convert(signatures.network))
    teacher = Teacher(subject, tmp_path, lambda _: None)
    assert teacher.error(Group(subject, 2**62, 4, None), 4) < 1


def test_a_short_schedule_has_a_short_teacher(tmp_path: Path) -> None:
    signatures = signatures_of(conditioned_network(), schedule=ddpm_linear(30))
    subject = Subject(signatures, convert(signatures.network))
    assert Teacher(subject, tmp_path, lambda _: None).steps == 15
    learned(subject, tmp_path / "t.json", Learning(steps=(2,), iterations=2))
    with pytest.raises(InputError, match=r"^learn_steps=16: expected at most 15"):
        learned(subject, tmp_path / "t.json", Learning(steps=(16,)))


def test_pictures_and_other_folders_are_kept(tmp_path: Path) -> None:
    """Another count or more iterations need no new pictures; a folder of others stays."""
    part = tmp_path / "t.json.part"
    learn._begin(part, ["these"])
    (part / "pictures.npy").touch()
    learn._begin(part, ["these"])
    assert (part / "pictures.npy").exists()
    learn._begin(part, ["those"])
    assert not (part / "pictures.npy").exists()
    (part / "key.json").unlink()
    (part / "of someone else").touch()
    learn._begin(part, ["these"])
    assert (part / "of someone else").exists()
