"""What went wrong in other people's code, in few words."""

import re

_MOST_CHARACTERS = 240


# What TensorFlow says of channels first where it does not turn oneDNN on by itself.
_NEEDS_ONEDNN = re.compile("only supports? (the )?NHWC")


def cause(error: Exception) -> str:
    """Why Keras, TensorFlow or onnxruntime raised an error, without what they wrap around it."""
    if _NEEDS_ONEDNN.search(str(error)):
        return (
            "TensorFlow itself has no layers with channels first for this processor; set "
            "TF_ENABLE_ONEDNN_OPTS=1 before it is imported"
        )
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    text = text.rpartition("Exception encountered: ")[2]
    text = text.rpartition("Status Message: ")[2]  # of onnxruntime
    text = re.split(r"Exception encountered when calling [^\n]*\n", text)[-1]
    text = re.split(
        r"\n\s*Arguments received|\nTraceback |\[Op:|Full object config|config=\{", text
    )[0]
    text = " ".join(re.sub(r"\{\{.*?\}\}|\[\[.*?\]\]", "", text).split()).rstrip(" .,;:")
    return (text or type(error).__name__)[:_MOST_CHARACTERS]
