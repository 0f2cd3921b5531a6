"""The figures of one setting, from the times that its process measured."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .peak import PRODUCT_MULTIPLY_ADDS
from .plan import Setting
from .process import Process


@dataclass(frozen=True)
class Row:
    """What one setting costs, measured in a process of its own.

    `latencies_ms`, `denoiser_ms` and `product_ms` are the times of the sampling, of one bare
    network call for each step, and of the matrix product, turn by turn; ratios are medians over
    the turns. An evaluation is the network applied to one image once: batch x steps in a call.
    `outside_network` is the share of the latency that bare network calls do not explain, below 0 if
    they happen to be slower; None for the bare calls, and without denoiser.onnx. `share_of_peak` is
    the network's multiply-adds a second over those of the matrix product. `cold_ms` is the time
    from the start of the process to its first images: Python and its imports, loading, the first
    call. `peak_bytes` is the most resident memory, None where unknown.
    """

    bundle: str
    device: str
    provider: str
    variant: str
    batch: int
    steps: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    images_per_second: float
    evaluations_per_second: float
    outside_network: float | None
    share_of_peak: float
    cold_ms: float
    import_ms: float
    load_ms: float
    first_call_ms: float
    peak_bytes: int | None
    latencies_ms: tuple[float, ...]
    denoiser_ms: tuple[float, ...] | None
    product_ms: tuple[float, ...]


def measure(setting: Setting, *, threads: int | None, rounds: int, multiply_adds: int) -> Row:
    """Measure a setting, whose network has `multiply_adds` for an image, in a fresh process."""
    with Process("sampling", setting.job(threads, compare=True)) as process:
        turns = [process.turn() for _ in range(rounds)]
    times = {name: tuple(turn[name] for turn in turns) for name in turns[0]}
    latencies_ms, denoiser_ms = times["ms"], times.get("denoiser_ms")
    p50_ms, p90_ms, p99_ms = np.percentile(latencies_ms, (50, 90, 99)).tolist()
    evaluations = setting.batch * setting.steps
    in_products = evaluations * multiply_adds / PRODUCT_MULTIPLY_ADDS[process.ready["device"]]
    parts = ("import_ms", "load_ms", "first_call_ms")
    return Row(
        bundle=setting.name,
        variant=setting.variant,
        batch=setting.batch,
        steps=setting.steps,
        p50_ms=p50_ms,
        p90_ms=p90_ms,
        p99_ms=p99_ms,
        images_per_second=1e3 * setting.batch / p50_ms,
        evaluations_per_second=1e3 * evaluations / p50_ms,
        outside_network=1 - median_ratio(denoiser_ms, latencies_ms) if denoiser_ms else None,
        share_of_peak=in_products * median_ratio(times["product_ms"], latencies_ms),
        cold_ms=sum(process.ready[part] for part in parts),
        latencies_ms=latencies_ms,
        denoiser_ms=denoiser_ms,
        product_ms=times["product_ms"],
        **{key: process.ready[key] for key in ("device", "provider", "peak_bytes", *parts)},
    )


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Return the median ratio of the pairs, which a change of speed between turns leaves alone."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))


def peak_gigaflops(rows: Sequence[Row]) -> dict[str, float]:
    """Return each device's fastest matrix product in 10⁹ operations/s, two for a multiply-add."""
    best_ms: dict[str, float] = {}
    for row in rows:
        best_ms[row.device] = min(*row.product_ms, best_ms.get(row.device, float("inf")))
    return {device: 2 * PRODUCT_MULTIPLY_ADDS[device] / ms / 1e6 for device, ms in best_ms.items()}
