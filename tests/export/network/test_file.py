"""Networks in `.keras` files, with layers of the user's own and without."""

import sys
from pathlib import Path

import keras
import pytest
from keras import layers

from diffkiln.export.network.file import load_keras_file
from diffkiln.trainer.errors import InputError

LAYERS = """
import keras

class Halved(keras.layers.Layer):
    def call(self, x):
        return x / 2
"""

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with own_layers.py, and own.keras that needs it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "own_layers.py").write_text(LAYERS)
    namespace: dict = {"__name__": "elsewhere"}
    exec(LAYERS, namespace)
    noisy, time = keras.Input((4, 4, 3)), keras.Input(())
    keras.Model([noisy, time], namespace["Halved"]()(noisy)).save(tmp_path / "own.keras")
    return tmp_path


@pytest.mark.parametrize("module", ["own_layers.py", "own_layers"])
def test_layers_of_the_users_own_are_imported(folder: Path, module: str) -> None:
    network = load_keras_file(folder / "own.keras", [module])
    assert network.layers[-1].__class__.__name__ == "Halved"


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (
            [],
            "own.keras: Could not locate class 'Halved'; give the file that defines it with --imp",
        ),
        (["none_there"], r"import=none_there: cannot be imported \(ModuleNotFoundError: No module"),
        (["gone.py"], r"import=gone.py: cannot be imported \(FileNotFoundError: "),
    ],
)
def test_what_is_missing_is_named_first(folder: Path, modules: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_keras_file(folder / "own.keras", modules)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    noisy, time = keras.Input((4, 4, 3)), keras.Input(())
    keras.Model([noisy, time], layers.Lambda(lambda x: 2 * x)(noisy)).save(tmp_path / "a.keras")
    with pytest.raises(InputError, match="holds a Lambda layer, which is code that Keras's safe"):
        load_keras_file(tmp_path / "a.keras")


def test_a_file_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "a.keras").write_bytes(b"no network")
    with pytest.raises(InputError, match=r"Keras cannot load it: .*; expected a file that model.s"):
        load_keras_file(tmp_path / "a.keras")
