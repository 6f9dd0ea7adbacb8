"""Where a model's inputs enter: their shape and dtype."""
from ..ops.core import standardize_symbol_dtype
from ..ops.operation import Node
from .keras_tensor import KerasTensor, standardize_shape
from .layer import Layer


class InputLayer(Layer):
    """The shape and dtype of a model's input.

    Args:
        shape: The shape without the batch size.
        batch_size: The batch size, or `None`.
        dtype: The dtype that inputs are converted to. Defaults to `floatx()`. `"string"`: arrays of
            strings, for layers that take them.
        sparse: Must be false: all tensors are dense.
        ragged: Must be false.
        batch_shape: The shape with the batch size, instead of `shape`.
        input_tensor: A `KerasTensor` to be described, instead of a shape.
        optional: Must be false: an input cannot be `None`.
        name: Name.
    """

    _plain = True

    def __init__(self, shape=None, batch_size=None, dtype=None, sparse=None, ragged=None,
                 batch_shape=None, input_tensor=None, optional=False, name=None, **kwargs):
        if "input_shape" in kwargs:
            shape = kwargs.pop("input_shape")
        if "batch_input_shape" in kwargs:
            batch_shape = kwargs.pop("batch_input_shape")
        super().__init__(name=name, **kwargs)
        for argument, value in (("sparse", sparse), ("ragged", ragged), ("optional", optional)):
            if value:
                raise ValueError(f"Input: `{argument}=True` is not possible here, inputs are dense "
                                 f"arrays. Received: {argument}={value}")
        if input_tensor is not None:
            if not isinstance(input_tensor, KerasTensor):
                raise ValueError("Input: the existing tensor must be a KerasTensor. Received: "
                                 f"{input_tensor!r} (of type {type(input_tensor).__name__})")
            batch_shape, dtype = input_tensor.shape, dtype or input_tensor.dtype
        elif (shape is None) == (batch_shape is None):
            raise ValueError("Input: exactly one of `shape` and `batch_shape` must be passed. "
                             f"Received: shape={shape}, batch_shape={batch_shape}")
        elif batch_shape is None:
            shape = (shape,) if isinstance(shape, int) else shape
            batch_shape = (batch_size, *standardize_shape(shape))
        elif batch_size is not None:
            raise ValueError("Input: `batch_size` is part of `batch_shape`. Received both.")
        self._batch_shape = standardize_shape(batch_shape)
        if not self._batch_shape:
            raise ValueError("Input: the shape needs a batch axis. Received: batch_shape=()")
        self._input_dtype = standardize_symbol_dtype(dtype)
        if input_tensor is None:
            input_tensor = KerasTensor(self._batch_shape, self._input_dtype, name=self.name)
        Node(self, outputs=input_tensor)
        self._output_shape = self._batch_shape
        self._build_at_init()

    @property
    def batch_shape(self):
        """The shape with the batch size."""
        return self._batch_shape

    @property
    def dtype(self):
        """The dtype of the input."""
        return self._input_dtype

    @property
    def input_dtype(self):
        """The dtype of the input."""
        return self._input_dtype

    def call(self, inputs):
        return inputs

    def __setstate__(self, state):
        super().__setstate__(state)
        Node(self, outputs=KerasTensor(self._batch_shape, self._input_dtype, name=self.name))

    def get_config(self):
        return {"batch_shape": self._batch_shape, "dtype": self._input_dtype, "sparse": False,
                "ragged": False, "name": self.name, "optional": False}


def Input(shape=None, batch_size=None, dtype=None, sparse=None, ragged=None, batch_shape=None,
          name=None, tensor=None, optional=False):
    """A symbolic tensor that says what a model's input looks like. See `InputLayer`."""
    return InputLayer(shape=shape, batch_size=batch_size, dtype=dtype, sparse=sparse, ragged=ragged,
                      batch_shape=batch_shape, name=name, input_tensor=tensor,
                      optional=optional).output
