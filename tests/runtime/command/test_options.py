"""A wrong flag is answered with one line: the flag, what it got, what was expected."""

import os
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
    assert (values["device"], values["scale"]) == ("auto", 1)


def test_a_value_may_follow_its_flag() -> None:
    assert parse_options(OPTIONS, [*REQUIRED, "--count", "3"])["count"] == 3


def test_two_commands_do_not_collide() -> None:
    assert parse_options(BENCHMARK_OPTIONS, ["--bundle=b"])["batch_sizes"] == (1, 8)
    assert parse_options(BENCHMARK_OPTIONS, ["--bundle=b", "--compare"])["compare"] is True
    assert parse_options(OPTIONS, REQUIRED)["scale"] == 1


@pytest.mark.parametrize(
    "received", ["0", "-3", "1000001", "99999999999999999999999", "abc", "", "1_6", "1.5", "٣"]
)
def test_a_wrong_count(received: str) -> None:
    expected = f"--count={received}: expected a whole number from 1 to 1000000"
    assert error_of(f"--count={received}").startswith(expected)


def test_the_largest_seed() -> None:
    largest = 2**63 - 1
    assert parse_options(OPTIONS, [*REQUIRED, f"--seed={largest}"])["seed"] == largest
    assert error_of(f"--seed={2**63}").startswith(f"--seed={2**63}: expected a whole number")


def test_a_wrong_word() -> None:
    assert error_of("--device=tpu").startswith("--device=tpu: expected one of auto, cpu, cuda")


def test_an_unknown_flag() -> None:
    assert error_of("--cuont=3").startswith("--cuont=3: unknown flag, expected one of --bundle")


def test_a_stray_argument() -> None:
    assert error_of("flowers").startswith("flowers: expected only flags")


def test_a_flag_without_its_value() -> None:
    assert error_of("--count").startswith("--count: no value, expected --count=…")


def test_the_next_flag_is_no_value() -> None:
    with pytest.raises(UsageError, match="--bundle: no value, expected --bundle=…"):
        parse_options(OPTIONS, ["--bundle", "--out=o.png"])


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("--compare", True),
        ("--nocompare", False),
        ("--compare=True", True),
        ("--compare=false", False),
    ],
)
def test_a_switch(argument: str, value: bool) -> None:
    assert parse_options(BENCHMARK_OPTIONS, ["--bundle=b", argument])["compare"] is value


def test_a_wrong_switch() -> None:
    with pytest.raises(UsageError, match="--compare=maybe: expected one of true, false; see"):
        parse_options(BENCHMARK_OPTIONS, ["--bundle=b", "--compare=maybe"])
    with pytest.raises(UsageError, match="--nocompare=1 does not take an argument; see"):
        parse_options(BENCHMARK_OPTIONS, ["--bundle=b", "--nocompare=1"])


def test_an_empty_path() -> None:
    assert error_of("--bundle=").startswith("--bundle=: expected a path")


@pytest.mark.parametrize(("text", "value"), [(".5", 0.5), ("2.", 2.0), ("100", 100.0)])
def test_a_number_as_people_write_it(text: str, value: float) -> None:
    assert parse_options(OPTIONS, ["--out=o.png", f"--guidance={text}"])["guidance"] == value


@pytest.mark.parametrize("text", [".", "1e1", "-.5", "101"])
def test_a_number_that_is_none_or_out_of_range(text: str) -> None:
    assert error_of(f"--guidance={text}").endswith("expected a number from 0 to 100; see --help")


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


def test_a_device_is_not_replaced() -> None:
    assert refusal(Path(os.devnull)).startswith("is a folder or a device, expected a file")


def test_folders_without_permission(tmp_path: Path) -> None:
    for mode, part, message in (
        (0o500, "a.png", f"{tmp_path / 'locked'} cannot be written to; choose another path"),
        (0o600, "a.png", "Permission denied, expected a path that can be written"),
        (0o300, "", "Permission denied, expected a path that can be written"),
    ):
        (locked := tmp_path / "locked").mkdir(mode)
        if os.access(locked, os.R_OK | os.W_OK | os.X_OK):
            pytest.skip("this user may do anything")
        assert refusal(locked / part, folder=not part).startswith(message)
        locked.rmdir()
