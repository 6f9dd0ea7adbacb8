"""A network that learned digits becomes a C program: train, export, compile, run, compare.

Needs a C compiler (`cc`, or what the variable CC names). The files are written to the folder given
as argument, or to a new one.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

import digits
import numpy as np
import nnc as keras

MAIN = """\
#include "digits.h"
#include <stdio.h>

/* Reads images of 784 floats, prints the digit that each shows. */
int main(void)
{
    float image[784], chance[10];
    while (fread(image, sizeof image, 1, stdin) == 1) {
        int best = 0;
        digits_predict(image, chance);
        for (int i = 1; i < 10; i++)
            if (chance[i] > chance[best])
                best = i;
        printf("%d\\n", best);
    }
    return 0;
}
"""

keras.utils.set_random_seed(0)
(x_train, y_train), (x_test, y_test) = digits.load()
x_train, x_test = x_train / 255.0, x_test / 255.0
model = keras.Sequential([
    keras.Input((28, 28)),
    keras.layers.Flatten(),
    keras.layers.Dense(64, activation="relu"),
    keras.layers.BatchNormalization(),
    keras.layers.Dense(10, activation="softmax"),
])
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=3, verbose=2)

folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="digits_"))
model.export(folder / "digits.c", format="c")
(folder / "main.c").write_text(MAIN)
compiler = os.environ.get("CC", "cc")
subprocess.run([compiler, "-std=c11", "-O2", "main.c", "digits.c", "-o", "digits"], cwd=folder,
               check=True)
images = np.ascontiguousarray(x_test, "float32")
output = subprocess.run([folder / "digits"], input=images.tobytes(), capture_output=True,
                        check=True).stdout
in_c = np.array(output.split(), int)
in_python = model.predict(x_test, verbose=0).argmax(-1)
size = os.path.getsize(folder / "digits")
print(f"{folder / 'digits'}: {size:,} bytes, the same digit as in Python for "
      f"{np.mean(in_c == in_python):.2%} of {len(in_c)} images")
print(f"Test accuracy: {np.mean(in_c == y_test):.4f}")
