"""The execution providers of each device, with options for small convolutional networks.

docs/devices.md gives the reason for each at length.
"""

from collections.abc import Sequence
from typing import Any

from .device import CPU_PROVIDER, PROVIDERS

# Those equal to onnxruntime's defaults are included, since its versions differ in some of them.
_CUDA_OPTIONS = {
    # Trying all algorithms takes time at every new batch size, and may choose differently in each
    # run; the heuristic is as fast for convolutions as small as these.
    "cudnn_conv_algo_search": "HEURISTIC",
    # With no more than 32 MB, cuDNN may have to leave the fastest algorithm.
    "cudnn_conv_use_max_workspace": "1",
    # Powers of two would hold up to twice the memory that is used, on a shared GPU.
    "arena_extend_strategy": "kSameAsRequested",
    # Tensor cores want this layout, and float32 without TF32 does not use them.
    "prefer_nhwc": "0",
    # On a stream of their own, copies would race with the kernels that read them.
    "do_copy_in_default_stream": "1",
    # Threads that share a Sampler overlap, each on its own stream.
    "use_ep_level_unified_stream": "0",
}


def providers(
    device: str, *, threads: int, tf32: bool = False, replay: bool = False
) -> Sequence[Any]:
    """Return onnxruntime's providers for "cpu", "cuda" or "openvino", the preferred one first.

    OpenVINO has `threads` of its own; for 0 it chooses how many. `tf32` lets tensor cores round
    float32 to 10 bits, which moves some pixels by a level of 255 or more. `replay` captures the
    graph's kernels at the first run of a shape and replays them afterwards.
    """
    if device == "cpu":
        return [CPU_PROVIDER]
    if device == "openvino":
        # By default it computes in bfloat16 on some processors, which changes the pixels.
        options = {"device_type": "CPU", "precision": "FP32"}
        options |= {"num_of_threads": str(threads)} if threads else {}
    else:
        choices = {"use_tf32": str(int(tf32)), "enable_cuda_graph": str(int(replay))}
        options = {**_CUDA_OPTIONS, **choices}
    return [(PROVIDERS[device], options), CPU_PROVIDER]
