"""A network that learned digits becomes C programs: train, export, compile, run, compare; then the
same with weights of 8 bits, a quarter of the bytes.

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
#include "NAME.h"
#include <stdio.h>

/* Reads images of 784 floats, prints the digit that each shows. */
int main(void)
{
    float image[784], chance[10];
    while (fread(image, sizeof image, 1, stdin) == 1) {
        int best = 0;
        NAME_predict(image, chance);
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
compiler = os.environ.get("CC", "cc")
images = np.ascontiguousarray(x_test, "float32")
for name in ("digits", "digits_int8"):
    if name == "digits_int8":
        model.quantize("int8", filters="dense")
    model.export(folder / f"{name}.c", format="c")
    (folder / "main.c").write_text(MAIN.replace("NAME", name))
    subprocess.run([compiler, "-std=c11", "-O2", "main.c", f"{name}.c", "-o", name], cwd=folder,
                   check=True)
    output = subprocess.run([folder / name], input=images.tobytes(), capture_output=True,
                            check=True).stdout
    in_c = np.array(output.split(), int)
    in_python = model.predict(x_test, verbose=0).argmax(-1)
    size = os.path.getsize(folder / name)
    print(f"{folder / name}: {size:,} bytes, the same digit as in Python for "
          f"{np.mean(in_c == in_python):.2%} of {len(in_c)} images")
    print(f"Test accuracy: {np.mean(in_c == y_test):.4f}")
