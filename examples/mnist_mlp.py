"""A small network learns handwritten digits: 784-20-20-10, five epochs, near 95 %."""
import digits
import nnc as keras

try:
    (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
except OSError as error:                            # no file and no network: 5,000 of the images
    (x_train, y_train), (x_test, y_test) = digits.subset(error)
x_train, x_test = x_train / 255.0, x_test / 255.0

model = keras.Sequential([
    keras.layers.Flatten(input_shape=(28, 28)),
    keras.layers.Dense(20, activation='relu'),
    keras.layers.Dense(20, activation='relu'),
    keras.layers.Dense(10, activation='softmax'),
])
model.compile(optimizer='adam', loss='sparse_categorical_crossentropy', metrics=['accuracy'])
model.fit(x_train, y_train, epochs=5)
test_loss, test_acc = model.evaluate(x_test, y_test)
print(f"Test accuracy: {test_acc:.4f}")
