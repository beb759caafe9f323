"""Makes tests/fixtures/keras: small real Keras models, each as .keras and .h5, and what Keras says they answer.

    pip install keras h5py torch && KERAS_BACKEND=torch python tools/keras_fixtures.py

Weights are random. answers.npz holds one input x [2, 12, 6] and under each model's name its outputs [2, 12, 3] or [2, 3].
The importer needs no Keras, so its tests need none either.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "keras"
INPUTS, OUTPUTS = 6, 3


def models() -> dict[str, Any]:
    """By name; those called bad_ must be refused."""
    import keras
    from keras import Input, layers

    def sequential(*stack: Any) -> Any:
        return keras.Sequential([Input((None, INPUTS)), *stack])

    x = Input((None, INPUTS))
    h = layers.LSTM(5, return_sequences=True, name="memory")(x)
    h = layers.Dense(4, activation="relu", name="middle")(layers.Dropout(0.2)(h))
    functional = keras.Model(x, layers.Dense(OUTPUTS, name="labels")(h))
    return {
        "gru": sequential(
            layers.GRU(5, return_sequences=True, dropout=0.1),
            layers.GRU(4, return_sequences=True),
            layers.Dropout(0.1),
            layers.Dense(7),
            layers.ReLU(),
            layers.TimeDistributed(layers.Dense(OUTPUTS, activation="softmax")),
        ),
        "gru_reset_before": sequential(
            layers.GRU(5, return_sequences=True, reset_after=False), layers.Dense(OUTPUTS), layers.Activation("sigmoid")
        ),
        "lstm_functional": functional,
        "rnn": sequential(
            layers.SimpleRNN(5, return_sequences=True),
            layers.SimpleRNN(4, activation="relu", return_sequences=True, use_bias=False),
            layers.Dense(OUTPUTS, use_bias=False),
        ),
        "last_step": sequential(layers.GRU(5), layers.Dense(OUTPUTS)),
        "bad_bidirectional": sequential(layers.Bidirectional(layers.GRU(3, return_sequences=True)), layers.Dense(OUTPUTS)),
        "bad_gates": sequential(layers.LSTM(3, recurrent_activation="hard_sigmoid"), layers.Dense(OUTPUTS)),
        "bad_layer": sequential(layers.Conv1D(4, 3), layers.GRU(3), layers.Dense(OUTPUTS)),
        "bad_nan": sequential(layers.GRU(3), layers.Dense(OUTPUTS)),
    }


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    answers = {"x": rng.normal(size=(2, 12, INPUTS)).astype(np.float32)}
    for name, model in models().items():
        model.set_weights([rng.normal(0, 0.5, w.shape) if w.ndim else w for w in model.get_weights()])
        if name == "bad_nan":
            model.layers[0].set_weights([w * np.nan for w in model.layers[0].get_weights()])
        model.save(FOLDER / f"{name}.keras")
        if not name.startswith("bad_"):
            model.save(FOLDER / f"{name}.h5")
            answers[name] = model.predict(answers["x"], verbose=0)
    np.savez_compressed(FOLDER / "answers.npz", **answers)


if __name__ == "__main__":
    main()
