"""Several workers, as real processes over loopback, train as one process would."""

import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY, Command
from forked_commands import Running, run_command, start_command
from training_runs import refused, rows, train_here, wait_for_rows, weights

from diffkiln.trainer.errors import InputError
from diffkiln.trainer.training.cluster import (
    Cluster,
    cluster_from_environment,
    wait_for_workers,
)

CLIPPED = "--gradient_clip_norm=0.5"
SETTINGS = (*TINY, CLIPPED, "--log_every_steps=5", "--distribute=multi_worker")


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        listening = [stack.enter_context(socket.create_server(("", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in listening]


def tf_config(index: int, ports: list[int]) -> str:
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    return json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})


@contextlib.contextmanager
def workers(
    run_dir: Path, *arguments: str, each: Sequence[str] = ("--seed=0", "--seed=0")
) -> Iterator[list[Running]]:
    """Two workers of a run, with arguments that they share and one of each."""
    ports = free_ports(len(each))
    program = Path(sys.executable).with_name("diffkiln-train")
    processes = [
        start_command(
            [program, f"--run_dir={run_dir}", *SETTINGS, *arguments, own],
            env={**os.environ, "TF_CONFIG": tf_config(index, ports)},
        )
        for index, own in enumerate(each)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def outputs(processes: list[Running]) -> list[tuple[int, str, str]]:
    """Status, stdout and stderr of each, all of which have to end."""
    texts = [process.communicate(timeout=240) for process in processes]
    return [(p.returncode or 0, *text) for p, text in zip(processes, texts, strict=True)]


def finish(run_dir: Path, *arguments: str) -> None:
    """Train by two workers to the end; only the chief may show a bar."""
    with workers(run_dir, *arguments) as processes:
        (chief, _, bar), (other, _, silence) = outputs(processes)
    assert (chief, other, silence) == (0, 0, ""), bar
    assert "100%" in bar


def last_words(errors: str) -> str:
    return errors.strip().splitlines()[-1]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes without a signal")
def test_two_workers_that_a_signal_stops_have_the_losses_of_one_process(tmp_path: Path) -> None:
    together, alone = tmp_path / "together", tmp_path / "alone"
    # A row has the mean since the row before, or since a run went on: here of one step.
    arguments = ("--train_steps=40", "--log_every_steps=1")
    stopped_at = stop_all(together, *arguments)
    assert newest_checkpoint(together) == stopped_at < 40
    finish(together, *arguments)
    train_here(alone, gradient_clip_norm=0.5, log_every_steps=1, train_steps=40)
    for ours, theirs in zip(rows(together), rows(alone), strict=True):
        for name in ("loss", "eval_loss", "gradient_norm", "loss_t0.4-0.6", "learning_rate"):
            # Sums of 8 losses in another order, over 40 steps: some 1e-6 were seen.
            assert float(ours[name]) == pytest.approx(float(theirs[name]), rel=1e-4, nan_ok=True)
    ours, theirs = weights(together), weights(alone)
    for name in theirs:
        # Adam's first steps divide by gradients' sizes, so the smallest are the least certain.
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes without a signal")
def test_a_killed_worker_ends_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    arguments = ("--train_steps=100000", "--checkpoint_every_steps=10", "--keep_checkpoints=2")
    with workers(run_dir, *arguments) as processes:
        wait_for_rows(run_dir, 3)  # a step after the first checkpoint
        processes[1].kill()
        status, _, errors = outputs(processes[:1])[0]
    assert status == 1
    assert "another worker stopped or cannot be reached" in last_words(errors)
    assert "Traceback" not in errors
    newest = newest_checkpoint(run_dir)
    train_here(run_dir, gradient_clip_norm=0.5, log_every_steps=5, train_steps=newest + 2)
    assert f"on from step {newest:,} to step" in capsys.readouterr().out


def stop_all(run_dir: Path, *arguments: str) -> int:
    """Start two workers and send a SIGTERM to one; the step at which both stopped."""
    with workers(run_dir, *arguments) as processes:
        wait_for_rows(run_dir)
        processes[1].send_signal(signal.SIGTERM)
        (chief, chief_says, _), (other, other_says, _) = outputs(processes)
    assert (chief, other) == (143, 143)
    assert "Stopped by another worker (SIGTERM) at step" in chief_says
    assert "Stopped by SIGTERM at step" in other_says
    step = chief_says.split("at step ")[1].split(";")[0]
    assert step == other_says.split("at step ")[1].split(";")[0]
    return int(step)


def newest_checkpoint(run_dir: Path) -> int:
    return max(int(path.stem[5:]) for path in (run_dir / "checkpoints").glob("step-*.index"))


@pytest.mark.slow
def test_workers_of_different_settings_refuse_each_other(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    with workers(run_dir, each=("--seed=0", "--seed=1")) as processes:
        ended = outputs(processes)
    for status, _, errors in ended:
        assert status == 1
        assert "settings of worker" in last_words(errors)
        assert "and not on all workers" in last_words(errors)
        assert "give all the same command" in last_words(errors)
    assert not run_dir.exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "TF_CONFIG is not set"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"cluster": {"worker": "localhost:1"}}', "cannot be read"),
        ('{"cluster": {"worker": ["localhost"]}, "task": {"type": "worker", "index": 0}}', "host:"),
        (
            '{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}',
            "another address",
        ),
        (
            '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}',
            "no such job",
        ),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}', "no such job"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": ["worker"], "index": 0}}', "no such"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "index"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "0"}}', "index"),
    ],
)
def test_a_malformed_tf_config(
    text: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match=re.escape(expected)) as error:
        cluster_from_environment()
    assert "TF_CONFIG" in str(error.value)


def test_a_malformed_tf_config_is_one_line(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", "{")
    result = command("diffkiln-train", f"--run_dir={tmp_path / 'run'}", *SETTINGS)
    refused(result, 2, "TF_CONFIG", "cannot be read")
    assert not (tmp_path / "run").exists()


def test_a_worker_that_never_answers_is_named(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, silent = free_ports(2)
    monkeypatch.setenv("TF_CONFIG", tf_config(0, [own, silent]))
    arguments = (f"--run_dir={tmp_path / 'run'}", *SETTINGS, "--worker_timeout_s=1")
    result = command("diffkiln-train", *arguments)
    refused(result, 1, f"no answer from 127.0.0.1:{silent} in 1 s")
    assert not (tmp_path / "run").exists()


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        cluster = Cluster((f"127.0.0.1:{port}", f"127.0.0.1:{port + 1}"), 0)
        with pytest.raises(InputError, match=f"cannot listen on port {port}"):
            wait_for_workers(cluster, timeout_s=1)


def test_a_batch_that_workers_cannot_share_is_refused(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", tf_config(0, free_ports(3)))
    result = command("diffkiln-train", f"--run_dir={tmp_path / 'run'}", *SETTINGS)
    refused(result, 2, "--batch_size=8: expected a multiple of 3")


# Two devices on one machine: batches of 7 and 8 images, of which the first cannot be shared. All
# networks of one process must have the same size, since their sums meet under the same numbers.
MIRRORED = """
import json, sys
from pathlib import Path
import tensorflow as tf
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.presets import preset_config
from diffkiln.trainer.training.train import train
cpu = tf.config.list_physical_devices("CPU")[0]
halves = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, halves)
settings = dict(image_size=16, warm_up_steps=5, train_steps=4, log_every_steps=2, widths=(16,))
folder, task, *precisions = sys.argv[1:]
for precision, batch_size in ((precisions[0], 7), *((each, 8) for each in precisions)):
    try:
        train(Path(folder, precision), preset_config("tiny", distribute="mirrored",
              batch_size=batch_size, precision=precision, data="synthetic:64", **settings,
              **json.loads(task)))
    except InputError as error:
        print(error)
"""


# float16 keeps 11 bits of each activation, and halves of a batch round differently.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "tolerances"),
    [
        ({"dropout": 0.5}, {"float32": 1e-4, "mixed_float16": 1e-2}),
        ({"task": "super_resolution", "factor": 4}, {"float32": 1e-4}),
    ],
    ids=["draw", "enlarge"],
)
def test_devices_of_one_machine_have_the_losses_of_one(
    tmp_path: Path, task: dict[str, Any], tolerances: dict[str, float]
) -> None:
    arguments = (tmp_path / "both", json.dumps(task), *tolerances)
    result = run_command([sys.executable, "-c", MIRRORED, *arguments])
    assert result.returncode == 0, result.stderr
    refusal = "batch_size=7: expected a multiple of 2, the number of replicas"
    assert result.stdout.startswith(refusal)
    for precision, tolerance in tolerances.items():
        one = tmp_path / "one" / precision
        train_here(one, train_steps=4, log_every_steps=2, precision=precision, **task)
        for ours, theirs in zip(rows(tmp_path / "both" / precision), rows(one), strict=True):
            for name in ("loss", "eval_loss", "gradient_norm", "loss_scale"):
                assert float(ours[name]) == pytest.approx(float(theirs[name]), rel=tolerance)
