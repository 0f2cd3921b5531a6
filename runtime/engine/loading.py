"""The one place that makes onnxruntime sessions; session.py runs them."""

from collections.abc import Iterator, Sequence
from typing import Any

from ..bundle.bundle import Graph
from ..checking.signature import Signature
from ..device.cpu import default_threads
from ..device.device import cpu_instead, log_once, require_device, usable_device
from ..device.placement import Placement, described, misplaced, require_none
from ..device.providers import providers
from ..errors import BundleError, DeviceError, DiffkilnError
from .binding import DTYPES
from .failures import in_one_line
from .library import onnxruntime
from .session import ONLY_FATAL, Session, SessionSettings


def create_session(
    graph: Graph, settings: SessionSettings, *, like: Session | None = None, replay: bool = False
) -> Session:
    """Load a graph: with "auto" on CUDA where that can be had, otherwise on the CPU.

    `like` is another session of the same bundle: this one must get the same device. `replay` is for
    a graph without control flow: on CUDA its kernels are captured and replayed if onnxruntime can.

    Raises BundleError if the graph is damaged or not what the manifest says, DeviceError with the
    reason if it does not get CUDA, or if "cuda" would leave some of its nodes to the CPU.
    """
    device = usable_device(settings.device) if like is None else like.device
    if device in ("cpu", "openvino"):
        return Session(_load(graph, settings, device), device)
    try:
        return _cuda_session(graph, settings, replay=replay)
    except DeviceError as error:
        cpu_instead(device, str(error))  # which raises for "cuda", and that is what `like` has
        return Session(_load(graph, settings, "cpu"), "cpu")


def _cuda_session(graph: Graph, settings: SessionSettings, *, replay: bool) -> Session:
    # cuDNN complains, once for each convolution in float16, of an algorithm that onnxruntime then
    # does without; that goes to the log of the process, whose level a session does not set.
    onnxruntime.set_default_logger_severity(ONLY_FATAL)
    if replay:
        try:
            return Session(_load(graph, settings, "cuda", replay=True), "cuda", replay=True)
        except DeviceError as error:
            log_once("INFO", f"{graph.file.name} is run without replay: {error}")
    return Session(_load(graph, settings, "cuda"), "cuda")


def _load(
    graph: Graph, settings: SessionSettings, device: str, *, replay: bool = False
) -> onnxruntime.InferenceSession:
    content, options = graph.content(), _options(settings, device)
    try:
        # Its own fallback would print on stdout and hide the reason.
        session = onnxruntime.InferenceSession(
            content,
            options,
            providers=providers(
                device, threads=options.intra_op_num_threads, tf32=settings.tf32, replay=replay
            ),
            enable_fallback=0,
        )
    except Exception as error:  # onnxruntime's errors have no other common base
        raise _not_loaded(graph, device, error) from error
    # Only that fallback would read it again; it is as large as the file.
    session._model_bytes = None
    require_device(device, session.get_providers())
    found = Signature.of(_described(session.get_inputs()), _described(session.get_outputs()))
    graph.require(found)
    if device == "cuda":
        _require_placed(graph, session, strict=settings.device == "cuda")
    return session


def _not_loaded(graph: Graph, device: str, error: Exception) -> DiffkilnError:
    found = (
        f"{graph.file} cannot be loaded by onnxruntime {onnxruntime.__version__} "
        f"({in_one_line(error)})"
    )
    if device == "cpu":
        return BundleError(f"{found}; upgrade onnxruntime or export the model again")
    if device == "openvino":
        return DeviceError(f"{found} with OpenVINO; use device='cpu'")
    # A GPU without memory is as likely as a graph that cannot be loaded anywhere.
    return DeviceError(f"{found} on the GPU; see nvidia-smi for its free memory")


def _options(settings: SessionSettings, device: str) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ONLY_FATAL
    options.intra_op_num_threads = (
        default_threads() if settings.threads is None else settings.threads
    )
    # What waits for work tries again and again before it sleeps, since work mostly comes at once.
    # onnxruntime's own million times are 16 ms here and half a second on other processors.
    options.add_session_config_entry("session.intra_op.spin_duration_us", "200")
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", str(int(not settings.low_power))
    )
    if device == "cuda":
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


def _require_placed(graph: Graph, session: onnxruntime.InferenceSession, *, strict: bool) -> None:
    """DeviceError if nodes that a GPU was meant for are on the CPU; unless `strict` a warning."""
    found = misplaced(placements(session))
    if strict:
        require_none(found, graph.file.name)
    elif found:
        log_once("WARNING", described(found, graph.file.name))


def placements(session: onnxruntime.InferenceSession) -> Iterator[Placement]:
    """Yield where onnxruntime runs each node, those of Loop bodies included.

    It must have been told to record that when the session was made. Raises DeviceError if it is
    too old to.
    """
    if not hasattr(session, "get_provider_graph_assignment_info"):
        raise DeviceError(
            f"onnxruntime {onnxruntime.__version__} does not say what it runs on the GPU; install "
            "onnxruntime-gpu 1.24 or newer"
        )
    for part in session.get_provider_graph_assignment_info():
        for node in part.get_nodes():
            yield Placement(node.name, node.op_type, part.ep_name)


def _described(entries: Sequence[Any]) -> list[dict[str, Any]]:
    """Describe inputs or outputs as the manifest does."""
    return [
        {"name": entry.name, "dtype": DTYPES.get(entry.type, entry.type), "shape": entry.shape}
        for entry in entries
    ]
