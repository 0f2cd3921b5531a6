"""The execution providers of each device, with options for small convolutional networks.

docs/devices.md gives the reason for each at length.
"""

from collections.abc import Sequence
from typing import Any

from .device import CPU_PROVIDER, CUDA_PROVIDER, OPENVINO_PROVIDER


def providers(
    device: str, *, threads: int, tf32: bool = False, replay: bool = False
) -> Sequence[Any]:
    """What onnxruntime shall use on "cpu", "cuda" or "openvino", best first.

    OpenVINO has `threads` of its own, for 0 as many as it likes. `tf32` lets tensor cores round
    float32 to 10 bits, which moves some pixels by a level of 255 or more. `replay` captures the
    graph's kernels at the first run of a shape and replays them afterwards.
    """
    if device == "cpu":
        return [CPU_PROVIDER]
    if device == "openvino":
        # It would compute in bfloat16 where the processor has that, away from the CPU's pixels.
        options = {"device_type": "CPU", "precision": "FP32"}
        options |= {"num_of_threads": str(threads)} if threads else {}
        return [(OPENVINO_PROVIDER, options), CPU_PROVIDER]
    return [(CUDA_PROVIDER, cuda_options(tf32=tf32, replay=replay)), CPU_PROVIDER]


def cuda_options(*, tf32: bool, replay: bool) -> dict[str, str]:
    """Return the provider's options by name, those that are onnxruntime's defaults included.

    They are written out since some of the defaults have changed between its versions.
    """
    return {
        # Trying all algorithms costs time at every new batch size, and takes another one from run
        # to run; the heuristic is as fast for convolutions as small as these.
        "cudnn_conv_algo_search": "HEURISTIC",
        # With no more than 32 MB, cuDNN may have to leave the fastest algorithm.
        "cudnn_conv_use_max_workspace": "1",
        "use_tf32": str(int(tf32)),
        # Powers of two would hold up to twice the memory that is used, on a GPU that is shared.
        "arena_extend_strategy": "kSameAsRequested",
        # Float32 without TF32 has no use for tensor cores, which are what wants this layout.
        "prefer_nhwc": "0",
        # A stream of their own lets copies race with what reads them.
        "do_copy_in_default_stream": "1",
        # Threads that share a Sampler overlap, each on its own stream.
        "use_ep_level_unified_stream": "0",
        "enable_cuda_graph": str(int(replay)),
    }
