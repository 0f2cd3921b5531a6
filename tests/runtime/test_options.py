"""A wrong flag is answered with one line: the flag, what it got, what was expected."""

import pytest

from diffkiln.runtime.benchmark import OPTIONS as BENCHMARK_OPTIONS
from diffkiln.runtime.cli import OPTIONS
from diffkiln.runtime.options import UsageError, parse_options

REQUIRED = ["--bundle=b", "--out=o.png"]


def error_of(*arguments: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse_options(OPTIONS, [*REQUIRED, *arguments])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults() -> None:
    values = parse_options(OPTIONS, REQUIRED)
    assert (values["count"], values["seed"], values["steps"]) == (16, 0, None)
    assert (values["device"], values["scale"]) == ("auto", 1)


def test_a_value_may_follow_its_flag() -> None:
    assert parse_options(OPTIONS, [*REQUIRED, "--count", "3"])["count"] == 3


def test_two_commands_do_not_collide() -> None:
    assert parse_options(BENCHMARK_OPTIONS, ["--bundle=b"])["batch_sizes"] == (1, 8)
    assert parse_options(BENCHMARK_OPTIONS, ["--bundle=b", "--compare"])["compare"] is True
    assert parse_options(OPTIONS, REQUIRED)["count"] == 16


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


def test_an_empty_path() -> None:
    assert error_of("--bundle=").startswith("--bundle=: expected a path")


def test_a_missing_flag() -> None:
    with pytest.raises(UsageError, match="--out: missing, expected what to write"):
        parse_options(OPTIONS, ["--bundle=b"])


@pytest.mark.parametrize("received", ["", "1,", "0,8", "1;8"])
def test_wrong_batch_sizes(received: str) -> None:
    with pytest.raises(UsageError, match="from 1 to 4096, or several with commas between"):
        parse_options(BENCHMARK_OPTIONS, ["--bundle=b", f"--batch_sizes={received}"])
