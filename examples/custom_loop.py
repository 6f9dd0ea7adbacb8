"""A training loop by hand: GradientTape, an optimizer, a loss and a metric."""
import numpy as np

import nnc as keras

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
x = rng.normal(size=(2000, 2)).astype("float32")
y = (np.hypot(x[:, 0], x[:, 1]) > 1.2).astype("float32")[:, None]        # outside a circle

model = keras.Sequential([
    keras.Input((2,)),
    keras.layers.Dense(16, activation="relu"),
    keras.layers.Dense(16, activation="relu"),
    keras.layers.Dense(1),
])
loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)
optimizer = keras.optimizers.Adam(0.01)
accuracy = keras.metrics.BinaryAccuracy(threshold=0.0)                   # of logits: 0 is one half

for epoch in range(10):
    accuracy.reset_state()
    for first in range(0, len(x), 50):
        batch_x, batch_y = x[first:first + 50], y[first:first + 50]
        with keras.GradientTape() as tape:
            logits = model(batch_x, training=True)
            loss = loss_fn(batch_y, logits)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        accuracy.update_state(batch_y, logits)
    print(f"epoch {epoch + 1}: loss {float(loss):.4f}, accuracy {float(accuracy.result()):.4f}")
