"""From the functions of a bundle to LiteRT files.

`litert_file` takes these steps:

1. `forms.py`: the function is traced, and what LiteRT has no operator for takes another form.
2. Weights become constants, since TensorFlow's converter loses variables that a loop captures.
3. The converter makes a file of LiteRT's built-in operators. An operator that LiteRT lacks is an
   error that names its layer.
4. `file.py` adds the essentials of the manifest, and puts weights where processors want them.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from ...trainer.errors import InputError, first_line
from ..baking.process import RESULT, Tensors, by_name, traced
from ..baking.signatures import Signatures
from ..baking.upscaling import Upscaler
from ..graphs.refusing import layer_in
from .file import with_metadata
from .forms import in_litert_forms
from .quiet import quiet


def write_litert(
    folder: Path, signatures: Signatures, graphs: Sequence[str], metadata: Mapping[str, str]
) -> None:
    """Write the LiteRT files of these graphs; the sampler's file holds the `metadata` too.

    Raises InputError, which names the layer, for an operator that LiteRT lacks.
    """
    for name in graphs:
        file = litert_file(signatures, name, metadata if name == "sampler" else {})
        (folder / f"{name}.tflite").write_bytes(file)


# The functions of the networks around a latent model.
_OF_CODEC = {"decoder": "decode", "encoder": "encode_latents"}


def litert_file(signatures: Signatures, graph: str, metadata: Mapping[str, str]) -> bytes:
    """The LiteRT file of a graph, with the inputs and outputs of the ONNX graph of that name."""
    return with_metadata(_converted(_frozen(_function(signatures, graph))), metadata)


def _function(signatures: Signatures, graph: str) -> Any:
    """What a graph computes, as a tf.function."""
    if graph == "noise":
        return signatures.noise
    if graph == "denoiser":
        return signatures.denoise
    if graph == "step":
        return _step(signatures)
    if graph == "upscaler":
        return cast("Upscaler", signatures.upscaler).function
    if graph in _OF_CODEC:
        return getattr(signatures, _OF_CODEC[graph])
    return signatures.processes()[graph].function


def _step(signatures: Signatures) -> Any:
    """A sampler's step whose result has the name that hosts see."""
    specs = signatures.sampler.step_function.input_signature

    def call(*inputs: tf.Tensor) -> Tensors:
        outputs = signatures.single_step(**by_name(specs, inputs))
        return {signatures.step_result: outputs.pop(RESULT), **outputs}

    return traced(call, specs)


def _frozen(function: Any) -> Any:
    """The function with constants for its variables."""
    with in_litert_forms():
        concrete = function.get_concrete_function()
    frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=False)
    # In the order in which TensorFlow flattens a dict.
    names = sorted(concrete.structured_outputs)

    def call(*inputs: tf.Tensor) -> Tensors:
        return dict(zip(names, frozen(*inputs), strict=True))

    return traced(call, function.input_signature)


def _converted(function: Any) -> bytes:
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    with tempfile.TemporaryDirectory() as folder, quiet():
        tf.saved_model.save(tf.Module(), folder, function, options)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        converter.exclude_conversion_metadata = True
        try:
            return converter.convert()
        except ConverterError as error:
            raise _refused(error) from error


def _refused(error: ConverterError) -> InputError:
    """The error that names the layer, or at least the operator, that LiteRT lacks."""
    remedy = "or export without litert"
    known = next((each for each in error.errors if each.operator.name), None)
    if known is None:
        return InputError(f"litert: TensorFlow cannot convert it ({first_line(error)}); {remedy}")
    operator = known.operator.name.removeprefix("tf.")
    # "while/functional/LAYER/Operator@FUNCTION", and what calls that function.
    name = known.location.call[0].name.partition("@")[0].removeprefix("while/")
    whose = f"its layer {layer_in(name)}" if "/" in name else "its sampler"
    return InputError(
        f"network: {whose} has the operator {operator}, which LiteRT lacks for such numbers; "
        f"replace it with other operations, {remedy}"
    )
