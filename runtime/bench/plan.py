"""What a benchmark measures: every bundle, device, variant, number of steps and batch size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..bundle.bundle import Bundle
from ..command.options import bad_flag, flag_errors
from ..engine.arguments import checked_steps
from .sampling import VARIANTS

# What sampler.onnx may be.
BAKED = ("loop", "unrolled")


@dataclass(frozen=True)
class Setting:
    """One way to sample, measured in a process of its own; `name` is short for the bundle."""

    bundle: Bundle
    name: str
    device: str
    variant: str
    batch: int
    steps: int

    def job(self, threads: int | None, **more: Any) -> dict[str, Any]:
        """Return the job for the process."""
        bundle = str(self.bundle.path)
        return {**vars(self), "bundle": bundle, "threads": threads, **more}


def default_steps(bundles: Sequence[Bundle]) -> int:
    """Return a number of steps for all bundles: an unrolled one has no choice."""
    fixed = (bundle.unrolled_steps for bundle in bundles if bundle.unrolled_steps)
    return next(fixed, bundles[0].default_steps)


def plan(
    bundles: Sequence[Bundle],
    devices: Sequence[str],
    variants: Sequence[str],
    *,
    steps: Sequence[int],
    batches: Sequence[int],
) -> tuple[list[Setting], list[str]]:
    """Return the settings, and a line for each one that an unrolled bundle cannot do.

    There is a line for each cascade too, whose bare calls are those of its first stage. With
    OpenVINO, stepwise replaces the baked variants.

    Raises UsageError for a bundle with no setting left or too many steps, BundleError for one that
    lacks a graph.
    """
    settings: list[Setting] = []
    left_out: list[str] = []
    names = [bundle.path.name for bundle in bundles]
    if len(set(names)) < len(names):
        names = [str(bundle.path) for bundle in bundles]
    for bundle, name in zip(bundles, names, strict=True):
        with flag_errors():
            for number in steps:
                checked_steps(bundle, number)
        wanted = [
            Setting(bundle, name, device, variant, batch, number)
            for device in devices
            for variant in _own_variants(bundle, variants, device)
            for number in steps
            for batch in batches
        ]
        misfits = list(map(_misfit, wanted))
        if all(misfits):
            raise bad_flag("bundle", bundle.path, f"{misfits[0]}; add that to the flags")
        settings += [setting for setting, misfit in zip(wanted, misfits, strict=True) if not misfit]
        left_out += [f"{name}: {misfit}" for misfit in misfits if misfit]
        if bundle.factor > 1:
            left_out.append(f"{name}: the second stage's network, except in the times of sampling")
    return settings, list(dict.fromkeys(left_out))


def _own_variants(bundle: Bundle, variants: Sequence[str], device: str) -> list[str]:
    baked, other = BAKED if bundle.unrolled_steps is None else reversed(BAKED)
    if device == "openvino":
        # It has no Loop, so a Sampler goes step by step there.
        variants = ["stepwise" if variant in BAKED else variant for variant in variants]
    chosen = [variant for variant in dict.fromkeys(variants) if variant != other]
    if not chosen:
        expected = f"{bundle.path} is {baked}; name that, stepwise or denoiser"
        raise bad_flag("variants", ",".join(variants), expected)
    for graph in (graph for variant in chosen for graph in VARIANTS[variant]):
        bundle.graph(graph)
    return chosen


def _misfit(setting: Setting) -> str | None:
    """Say why an unrolled graph cannot do this, or None."""
    steps, batch = setting.bundle.unrolled_steps, setting.bundle.unrolled_batch
    if setting.variant == "unrolled" and setting.steps != steps:
        return f"no --steps={setting.steps}, since it is unrolled for {steps}"
    if setting.variant == "unrolled" and batch not in (None, setting.batch):
        return f"no --batch_sizes={setting.batch}, since it is unrolled for batches of {batch}"
    return None
