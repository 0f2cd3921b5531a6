"""The last line of a finished run: what was trained, and what to do with it."""

import shlex

from ..run.directory import RunDirectory


def closing(run: RunDirectory, step: int) -> str:
    """The line, which names the better weights if the best step is an earlier one."""
    run_dir = shlex.quote(str(run.path))
    if run.read_config()[0].task == "autoencoder":
        then = f"diffkiln-train --latents={run_dir} --run_dir=LATENT"
        return f"Trained {step:,} steps. Next, with the same --data: {then}"
    best, weights, lower = run.read_best(), "", ""
    if best and best.step < step:
        weights = " --weights=best"
        measure = "KID" if best.measure == "kid" else "The held-out loss"
        lower = f" {measure} was lowest at step {best.step:,}."
    return (
        f"Trained {step:,} steps.{lower} Next: "
        f"diffkiln-export --run_dir={run_dir}{weights} --bundle=BUNDLE"
    )
