"""Fine-tuning: a network that knows the digits 0 to 7 learns 8 and 9 from 50 images each.

The first network learns eight digits from all their images. Its head (the last layer) is cut off, a
head for ten digits is put on and trained alone on 50 images of each digit, then the whole is tuned
at a lower rate. The same network trained from scratch on those 500 images knows less.
"""
import os
import tempfile

import digits
import numpy as np

import nnc as keras

keras.utils.set_random_seed(0)
(x_train, y_train), (x_test, y_test) = digits.load()
x_train, x_test = x_train / np.float32(255), x_test / np.float32(255)


def network(classes):
    return keras.Sequential([
        keras.layers.Input((28, 28)),
        keras.layers.Flatten(),
        keras.layers.Dense(128, activation="relu"),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(classes, activation="softmax", name="head"),
    ])


def train(model, rate, x, y, epochs):
    model.compile(keras.optimizers.Adam(rate), loss="sparse_categorical_crossentropy",
                  metrics=["accuracy"])
    model.fit(x, y, epochs=epochs, batch_size=20, verbose=0)


few = np.concatenate([np.flatnonzero(y_train == digit)[:50] for digit in range(10)])
x_few, y_few = x_train[few], y_train[few]

# 1. Pre-train on the digits 0 to 7, and save.
first = network(8)
train(first, 1e-3, x_train[y_train < 8], y_train[y_train < 8], epochs=8)
with tempfile.TemporaryDirectory() as folder:
    first.save(os.path.join(folder, "eight_digits.keras"))
    # 2. Load, cut the head off, freeze what is left.
    body = keras.models.load_model(os.path.join(folder, "eight_digits.keras"))
body.pop()
body.trainable = False
# 3. A new head: it alone is trained.
model = keras.Sequential([body, keras.layers.Dense(10, activation="softmax", name="new_head")])
train(model, 1e-3, x_few, y_few, epochs=20)
# 4. Thaw, compile again (that is when `trainable` counts), and tune all of it at a lower rate.
body.trainable = True
train(model, 2e-4, x_few, y_few, epochs=20)

scratch = network(10)
train(scratch, 1e-3, x_few, y_few, epochs=40)
tuned = model.evaluate(x_test, y_test, verbose=0)[1]
alone = scratch.evaluate(x_test, y_test, verbose=0)[1]
print(f"Accuracy on ten digits: from scratch {alone:.4f}, fine-tuned {tuned:.4f}")
