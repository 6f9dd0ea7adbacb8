"""A mistake and its message: a network for 10 numbers is fed images of 28x28 pixels.

`fit` refuses before the first step, and says which layer wanted what and got what.
"""
import digits
import nnc as keras

try:
    (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
except OSError as error:                            # no file and no network: 5,000 of the images
    (x_train, y_train), (x_test, y_test) = digits.subset(error)
x_train, x_test = x_train / 255.0, x_test / 255.0

model = keras.Sequential([
    keras.layers.Dense(20, activation='relu', input_shape=(10,)),
    keras.layers.Dense(20, activation='relu'),
    keras.layers.Dense(1, activation='sigmoid'),
])
model.compile(optimizer='adam', loss='binary_crossentropy', metrics=['accuracy'])
model.fit(x_train, y_train, epochs=5)
