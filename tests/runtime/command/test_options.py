"""A wrong flag is answered with one line: the flag, what it received, what was expected."""

import os
import sys
from pathlib import Path

import pytest

from diffkiln.runtime.bench.benchmark import OPTIONS as BENCHMARK_OPTIONS
from diffkiln.runtime.command.options import parse_options, require_writable
from diffkiln.runtime.command.sample import OPTIONS
from diffkiln.runtime.errors import UsageError

REQUIRED = ["--bundle=b", "--out=o.png"]


def error_of(*arguments: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse_options(OPTIONS, [*REQUIRED, *arguments])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults() -> None:
    values = parse_options(OPTIONS, REQUIRED)
    assert (values["count"], values["seed"], values["steps"]) == (None, None, None)
    assert (values["device"], values["scale"], values["tf32"]) == ("auto", 1, False)


def test_a_value_may_follow_its_flag() -> None:
    assert parse_options(OPTIONS, [*REQUIRED, "--count", "3"])["count"] == 3


def test_two_commands_do_not_collide() -> None:
    assert parse_options(BENCHMARK_OPTIONS, ["--bundle=b"])["batch_sizes"] == (1, 8)
    assert parse_options(OPTIONS, REQUIRED)["scale"] == 1


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--count=abc", "--count=abc: expected a whole number; see --help"),
        ("--count=", "--count=: expected a whole number; see"),
        ("--seed=1.5", "--seed=1.5: expected a whole number; see"),
        (f"--steps={'9' * 5000}", "expected a whole number; see"),
        ("--guidance=x", "--guidance=x: expected a number; see"),
        ("--scale=65", "--scale=65: expected a whole number from 1 to 64; see"),
        ("--threads=0", "--threads=0: expected a whole number from 1 to 1024; see"),
        (f"--interpolate_to={2**63}", f"{2**63}: expected a whole number from 0 to {2**63 - 1};"),
        ("--device=tpu", "--device=tpu: expected one of auto, cpu, cuda, openvino; see"),
        ("--cuont=3", "Unknown command line flag 'cuont'. Did you mean: count; see"),
        ("--colour=red", "Unknown command line flag 'colour'; see"),
        ("flowers", "flowers: expected only flags; write --flag=value"),
        ("--count", "Missing value for flag --count; see"),
        ("--tf32=maybe", "--tf32=maybe: expected true or false; see"),
        ("--notf32=1", "--notf32=1 does not take an argument; see"),
        ("--bundle=", "--bundle=: expected a path"),
        ("--label=", "--label=: expected a name or a number, or several with commas"),
        ("--seeds=1,1", "--seeds=1,1: has a seed twice"),
        ("--seeds=5-3", "expected seeds like 3,7,9-12"),
        ("--seeds=1;2", "expected seeds like 3,7,9-12"),
        (f"--seeds={2**63}", "expected seeds like 3,7,9-12"),
        ("--seeds=0-9999999999", "has 10000000000 seeds, expected at most 1000000"),
        ("--shard=3/2", "--shard=3/2: expected a part"),
    ],
)
def test_a_wrong_flag(argument: str, message: str) -> None:
    assert message in error_of(argument)


def test_the_next_flag_is_no_value() -> None:
    with pytest.raises(UsageError, match=r"--bundle=--out=o\.png: expected a path, not a flag"):
        parse_options(OPTIONS, ["--bundle", "--out=o.png"])


def test_a_tilde_is_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))  # on Windows
    (tmp_path / "a,b").mkdir()
    values = parse_options(OPTIONS, ["--bundle=~", "--out=~/a.png"])
    assert (values["bundle"], values["out"]) == (tmp_path, tmp_path / "a.png")
    assert parse_options(BENCHMARK_OPTIONS, ["--bundle=~/a,b"])["bundle"] == (tmp_path / "a,b",)
    assert parse_options(OPTIONS, ["--out=~nobody.of.this.name"])["out"].name.startswith("~")


@pytest.mark.parametrize(
    ("argument", "value"),
    [("--tf32", True), ("--notf32", False), ("--tf32=True", True), ("--tf32=false", False)],
)
def test_a_switch(argument: str, value: bool) -> None:
    assert parse_options(OPTIONS, [*REQUIRED, argument])["tf32"] is value


@pytest.mark.parametrize(("text", "value"), [(".5", 0.5), ("2.", 2.0), ("100", 100.0)])
def test_a_number_as_people_write_it(text: str, value: float) -> None:
    assert parse_options(OPTIONS, [*REQUIRED, f"--guidance={text}"])["guidance"] == value


def test_a_missing_flag() -> None:
    with pytest.raises(UsageError, match=r"--out: missing \(what to write"):
        parse_options(OPTIONS, ["--bundle=b"])


@pytest.mark.parametrize("received", ["", "1,", "0,8", "1;8"])
def test_wrong_batch_sizes(received: str) -> None:
    with pytest.raises(UsageError, match="from 1 to 4096, or several with commas between"):
        parse_options(BENCHMARK_OPTIONS, ["--bundle=b", f"--batch_sizes={received}"])


def refusal(target: Path, *, folder: bool = False) -> str:
    with pytest.raises(UsageError) as caught:
        require_writable("out", target, folder=folder)
    return str(caught.value).removeprefix(f"--out={target}: ")


def test_a_file_may_be_replaced_and_an_empty_folder_filled(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    require_writable("out", tmp_path / "a.png")
    require_writable("out", tmp_path / "new", folder=True)


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    assert refusal(tmp_path / ("a" * 300)).endswith(
        "expected a path that can be written; choose another"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other paths for devices")
def test_a_device_is_not_replaced() -> None:
    assert refusal(Path(os.devnull)).startswith("is a folder or a device, expected a file")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such paths")
def test_a_pipe_is_no_folder() -> None:
    reader, writer = os.pipe()  # as /dev/stdout may be
    assert refusal(Path(f"/dev/fd/{writer}"), folder=True).startswith("is a file or a device")
    os.close(reader)
    os.close(writer)


def test_folders_without_permission(tmp_path: Path) -> None:
    for mode, part, message in (
        (0o500, "a.png", f"{tmp_path / 'locked'} cannot be written to; choose another path"),
        (0o600, "a.png", "Permission denied, expected a path that can be written"),
        (0o300, "", f"{tmp_path / 'locked'} cannot be written to; choose another path"),
    ):
        (locked := tmp_path / "locked").mkdir(mode)
        if os.access(locked, os.R_OK | os.W_OK | os.X_OK):
            pytest.skip("this user may do anything")
        assert refusal(locked / part, folder=not part).startswith(message)
        locked.rmdir()
