"""Convolutional layers: Conv1D to 3D, their transposed forms, depthwise and separable ones.

One class holds what all share: the arguments, the weights (a list of rows says which there are),
bias and activation. A family is the op it calls and the shapes of its kernels; the classes of one
family differ in their number of spatial axes only.
"""
from .. import activations, config, constraints, initializers, regularizers
from .._core import op
from ..ops import conv_family as _ops
from ..ops.core import cast_array, tensor
from .input_spec import InputSpec
from .layer import Layer
from .low_rank import LowRank


def output_size(size, kernel, stride, padding, dilation):
    """Positions of a window along an axis; `None` for an unknown size."""
    if size is None:
        return None
    if padding == "valid":
        return (size - (kernel - 1) * dilation - 1) // stride + 1
    return -(-size // stride)


class _Convolution(Layer):
    """What all convolutional layers share."""

    _plain = True
    _rank = None
    _kernels = ("kernel",)          # the weights' names, and what the names of
    _prefixes = ("kernel",)         # their initializers, regularizers and constraints begin with
    _paddings = ("valid", "same")
    _sizes = ("filters",)           # arguments that are positive integers
    _strides_dilated = False        # whether both may be above 1 at once, as in Keras

    def _set_up(self, given, activity_regularizer, kwargs):
        """`given`: the arguments of `__init__` by name."""
        name = type(self).__name__
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        for argument in self._sizes:
            setattr(self, argument, _ops.whole_numbers(name, argument, given[argument], 1)[0])
        for argument in ("kernel_size", "strides", "dilation_rate"):
            setattr(self, argument,
                    _ops.whole_numbers(name, argument, given[argument], self._rank))
        self.padding = _ops.padding_of(name, given["padding"], self._paddings)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1 and not self._strides_dilated:
            raise ValueError(f"{name}: strides > 1 together with dilation_rate > 1 are not "
                             f"supported. Received: strides={self.strides}, "
                             f"dilation_rate={self.dilation_rate}")
        self.data_format = config.standardize_data_format(given["data_format"])
        self.activation = activations.get(given["activation"])
        self.use_bias = bool(given["use_bias"])
        for prefix in (*self._prefixes, "bias"):
            for kind, module in (("initializer", initializers), ("regularizer", regularizers),
                                 ("constraint", constraints)):
                setattr(self, f"{prefix}_{kind}", module.get(given[f"{prefix}_{kind}"]))
        self.input_spec = InputSpec(min_ndim=self._rank + 2)

    def _channels(self, shape):
        return shape[-1] if self.data_format == "channels_last" else shape[1]

    def _filters(self, channels):
        return self.filters

    def build(self, input_shape):
        channels = self._channels(input_shape)
        if channels is None:
            raise ValueError(f"Layer '{self.name}': the number of channels must be known. "
                             f"Received: input_shape={tuple(input_shape)}")
        self.compute_output_shape(input_shape)      # refuses what cannot be
        self._add_kernels(self._kernel_shapes(channels))
        self.bias = self._weight("bias", "bias", (self._filters(channels),)) \
            if self.use_bias else None
        axis = -1 if self.data_format == "channels_last" else 1
        self.input_spec = InputSpec(min_ndim=self._rank + 2, axes={axis: channels})

    def _add_kernels(self, shapes):
        for name, prefix, shape in zip(self._kernels, self._prefixes, shapes):
            setattr(self, name, self._weight(name, prefix, shape))

    def _weight(self, name, prefix, shape):
        return self.add_weight(name=name, shape=shape,
                               initializer=getattr(self, f"{prefix}_initializer"),
                               regularizer=getattr(self, f"{prefix}_regularizer"),
                               constraint=getattr(self, f"{prefix}_constraint"))

    def call(self, inputs):
        kernels = [getattr(self, name) for name in self._kernels]
        if inputs.dtype != kernels[0].dtype:
            inputs = cast_array(inputs, kernels[0].dtype)
        x = self._convolve(inputs, *kernels)
        if self.bias is not None:
            bias = self.bias
            if self.data_format == "channels_first":
                bias = op.reshape(bias, (bias.shape[0], *(1,) * self._rank))
            x = op.add(x, bias)
        return x if self.activation is activations.linear else self.activation(x)

    def _output_sizes(self, sizes):
        return [output_size(n, k, s, self.padding, d)
                for n, k, s, d in zip(sizes, self.kernel_size, self.strides, self.dilation_rate)]

    def compute_output_shape(self, input_shape):
        if len(input_shape) != self._rank + 2:
            raise ValueError(f"{type(self).__name__}: expected an input of rank {self._rank + 2}. "
                             f"Received: input_shape={tuple(input_shape)}")
        last = self.data_format == "channels_last"
        sizes = self._output_sizes(input_shape[1:-1] if last else input_shape[2:])
        if any(n is not None and n < 1 for n in sizes):
            raise ValueError(f"{type(self).__name__}: the kernel is larger than the input. "
                             f"Received: input_shape={tuple(input_shape)}, kernel_size="
                             f"{self.kernel_size}, dilation_rate={self.dilation_rate}")
        filters = self._filters(self._channels(input_shape))
        return (input_shape[0], *sizes, filters) if last else (input_shape[0], filters, *sizes)

    def get_config(self):
        names = (*self._sizes, "kernel_size", "strides", "padding", "data_format",
                 "dilation_rate", "use_bias")
        found = {name: getattr(self, name) for name in names}
        found["activation"] = activations.serialize(self.activation)
        found["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        for prefix in (*self._prefixes, "bias"):
            for kind, module in (("initializer", initializers), ("regularizer", regularizers),
                                 ("constraint", constraints)):
                name = f"{prefix}_{kind}"
                found[name] = module.serialize(getattr(self, name))
        return {**super().get_config(), **found}


# ---- Conv ----------------------------------------------------------------------------------------

class _Conv(LowRank, _Convolution):
    _plain = True

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "convolution_op" in cls.__dict__ and "_plain" not in cls.__dict__:
            cls._plain = False                  # rows may depend on one another there

    def __init__(self, filters, kernel_size, strides=1, padding="valid", data_format=None,
                 dilation_rate=1, groups=1, activation=None, use_bias=True,
                 kernel_initializer="glorot_uniform", bias_initializer="zeros",
                 kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
                 kernel_constraint=None, bias_constraint=None, *, lora_rank=None, lora_alpha=None,
                 **kwargs):
        self._set_up(locals(), activity_regularizer, kwargs)
        self._take_rank(lora_rank, lora_alpha)
        if self.filters % self.groups:
            raise ValueError(f"{type(self).__name__}: `filters` must be a multiple of `groups`. "
                             f"Received: filters={filters}, groups={groups}")

    _sizes = ("filters", "groups")

    def _kernel_shapes(self, channels):
        if channels % self.groups:
            raise ValueError(f"Layer '{self.name}': the input's channels must be a multiple of "
                             f"`groups`. Received: {channels} channels, groups={self.groups}")
        return ((*self.kernel_size, channels // self.groups, self.filters),)

    def _add_kernels(self, shapes):
        self._add_main(shapes[0])

    def build(self, input_shape):
        super().build(input_shape)
        self._adapt()

    @property
    def kernel(self):
        """The kernel, `(*kernel_size, channels / groups, filters)`: with its adapters, where there
        are some.
        """
        return self._merged()

    def convolution_op(self, inputs, kernel):
        """The convolution of `inputs` with `kernel` by the layer's strides, padding, dilation rate
        and data format, without bias and activation. Derived classes may override it, to change the
        kernel or the inputs.
        """
        return _ops.conv(inputs, kernel, self.strides, self.padding, self.data_format,
                         self.dilation_rate)

    def _convolve(self, inputs, kernel):
        return self.convolution_op(inputs, kernel)

    def get_config(self):
        return {**super().get_config(), **self._rank_config()}


_CONV = """Convolution over {axes} and bias, then the activation.

    Args:
        filters: Integer > 0, the number of channels of the output.
        kernel_size: {number}, the size of the window.
        strides: {number}. Defaults to 1.
        padding: `"valid"`{causal} or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        dilation_rate: {number}: 1, or the strides are 1.
        groups: Integer: channels are convolved in so many groups. Defaults to 1.
        activation: A function, the name of one, or `None` for none.
        use_bias: Whether there is a bias. Defaults to `True`.
        kernel_initializer: First values of `kernel`, `(*kernel_size, channels / groups, filters)`.
        bias_initializer: First values of `bias`, `(filters,)`.
        kernel_regularizer: Penalty of the kernel.
        bias_regularizer: Penalty of the bias.
        activity_regularizer: Penalty of the output.
        kernel_constraint: What the kernel is mapped by after each step.
        bias_constraint: What the bias is mapped by after each step.
        lora_rank: Integer or `None`: the rank of trained adapters; see `enable_lora`.
        lora_alpha: What the adapters are multiplied by, times `lora_rank`. Defaults to
            `lora_rank`.
        **kwargs: See `Layer`.

    Raises:
        ValueError: If an argument is out of range, or the channels are no multiple of `groups`.
    """
_AXES = ("one axis", "two axes", "three axes")


def _doc(text, rank, causal=""):
    number = "Integer" if rank == 1 else f"Integer or {rank} of them"
    return text.format(axes=_AXES[rank - 1], number=number, causal=causal)


class Conv1D(_Conv):
    __doc__ = _doc(_CONV, 1, ', `"causal"` (a position sees none behind it)')
    _plain = True
    _rank = 1
    _paddings = ("valid", "same", "causal")

    def convolution_op(self, inputs, kernel):
        if self.padding != "causal":
            return super().convolution_op(inputs, kernel)
        before = self.dilation_rate[0] * (self.kernel_size[0] - 1)
        low = (0, before, 0) if self.data_format == "channels_last" else (0, 0, before)
        inputs = op.pad(tensor(inputs), low + (0, 0, 0), 0.0)
        return _ops.conv(inputs, kernel, self.strides, "valid", self.data_format,
                         self.dilation_rate)


class Conv2D(_Conv):
    __doc__ = _doc(_CONV, 2)
    _plain = True
    _rank = 2


class Conv3D(_Conv):
    __doc__ = _doc(_CONV, 3)
    _plain = True
    _rank = 3


# ---- transposed ----------------------------------------------------------------------------------

class _ConvTranspose(_Convolution):
    _plain = True

    def __init__(self, filters, kernel_size, strides=1, padding="valid", output_padding=None,
                 data_format=None, dilation_rate=1, activation=None, use_bias=True,
                 kernel_initializer="glorot_uniform", bias_initializer="zeros",
                 kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
                 kernel_constraint=None, bias_constraint=None, **kwargs):
        self._set_up(locals(), activity_regularizer, kwargs)
        name = type(self).__name__
        if output_padding is not None:
            output_padding = _ops.whole_numbers(name, "output_padding", output_padding, self._rank,
                                                0)
            if any(more >= stride for more, stride in zip(output_padding, self.strides)):
                raise ValueError(f"{name}: `output_padding` must be less than `strides`. Received: "
                                 f"output_padding={output_padding}, strides={self.strides}")
        self.output_padding = output_padding

    def _kernel_shapes(self, channels):
        return ((*self.kernel_size, self.filters, channels),)

    def _convolve(self, inputs, kernel):
        return _ops.conv_transpose(inputs, kernel, self.strides, self.padding,
                                   self.output_padding, self.data_format, self.dilation_rate)

    def _output_sizes(self, sizes):
        more = self.output_padding or (None,) * self._rank
        return [_ops.transpose_size(n, k, s, self.padding, o, d) for n, k, s, o, d in
                zip(sizes, self.kernel_size, self.strides, more, self.dilation_rate)]

    def get_config(self):
        return {**super().get_config(), "output_padding": self.output_padding}


_TRANSPOSE = """The transposed convolution over {axes} and bias, then the activation.

    Args:
        filters: Integer > 0, the number of channels of the output.
        kernel_size: {number}, the size of the window.
        strides: {number}. Defaults to 1.
        padding: `"valid"`{causal} or `"same"`.
        output_padding: {number}, added to the output's size; less than the stride. `None`: chosen
            so that the convolution would give the input's size.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        dilation_rate: {number}: 1, or the strides are 1.
        activation: A function, the name of one, or `None` for none.
        use_bias: Whether there is a bias. Defaults to `True`.
        kernel_initializer: First values of `kernel`, `(*kernel_size, filters, channels)`.
        bias_initializer: First values of `bias`, `(filters,)`.
        kernel_regularizer: Penalty of the kernel.
        bias_regularizer: Penalty of the bias.
        activity_regularizer: Penalty of the output.
        kernel_constraint: What the kernel is mapped by after each step.
        bias_constraint: What the bias is mapped by after each step.
        **kwargs: See `Layer`.

    Raises:
        ValueError: If an argument is out of range.
    """


class Conv1DTranspose(_ConvTranspose):
    __doc__ = _doc(_TRANSPOSE, 1)
    _plain = True
    _rank = 1


class Conv2DTranspose(_ConvTranspose):
    __doc__ = _doc(_TRANSPOSE, 2)
    _plain = True
    _rank = 2


class Conv3DTranspose(_ConvTranspose):
    __doc__ = _doc(_TRANSPOSE, 3)
    _plain = True
    _rank = 3

    # Keras has data_format before output_padding here.
    def __init__(self, filters, kernel_size, strides=(1, 1, 1), padding="valid", data_format=None,
                 output_padding=None, dilation_rate=(1, 1, 1), activation=None, use_bias=True,
                 kernel_initializer="glorot_uniform", bias_initializer="zeros",
                 kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
                 kernel_constraint=None, bias_constraint=None, **kwargs):
        super().__init__(filters, kernel_size, strides, padding, output_padding, data_format,
                         dilation_rate, activation, use_bias, kernel_initializer, bias_initializer,
                         kernel_regularizer, bias_regularizer, activity_regularizer,
                         kernel_constraint, bias_constraint, **kwargs)


# ---- depthwise and separable ---------------------------------------------------------------------

class _DepthwiseConv(_Convolution):
    _plain = True
    _prefixes = ("depthwise",)
    _sizes = ("depth_multiplier",)
    _strides_dilated = True

    def __init__(self, kernel_size, strides=1, padding="valid", depth_multiplier=1,
                 data_format=None, dilation_rate=1, activation=None, use_bias=True,
                 depthwise_initializer="glorot_uniform", bias_initializer="zeros",
                 depthwise_regularizer=None, bias_regularizer=None, activity_regularizer=None,
                 depthwise_constraint=None, bias_constraint=None, **kwargs):
        self._set_up(locals(), activity_regularizer, kwargs)

    def _filters(self, channels):
        return None if channels is None else channels * self.depth_multiplier

    def _kernel_shapes(self, channels):
        return ((*self.kernel_size, channels, self.depth_multiplier),)

    def _convolve(self, inputs, kernel):
        return _ops.depthwise_conv(inputs, kernel, self.strides, self.padding,
                                   self.data_format, self.dilation_rate)


_DEPTHWISE = """Convolution over {axes} of each channel by itself, bias, then the activation.

    Args:
        kernel_size: {number}, the size of the window.
        strides: {number}. Defaults to 1.
        padding: `"valid"`{causal} or `"same"`.
        depth_multiplier: Integer > 0: kernels for each channel. Defaults to 1.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        dilation_rate: {number}: 1, or the strides are 1.
        activation: A function, the name of one, or `None` for none.
        use_bias: Whether there is a bias. Defaults to `True`.
        depthwise_initializer: First values of `kernel`, `(*kernel_size, channels,
            depth_multiplier)`.
        bias_initializer: First values of `bias`.
        depthwise_regularizer: Penalty of the kernel.
        bias_regularizer: Penalty of the bias.
        activity_regularizer: Penalty of the output.
        depthwise_constraint: What the kernel is mapped by after each step.
        bias_constraint: What the bias is mapped by after each step.
        **kwargs: See `Layer`.
    """


class DepthwiseConv1D(_DepthwiseConv):
    __doc__ = _doc(_DEPTHWISE, 1)
    _plain = True
    _rank = 1


class DepthwiseConv2D(_DepthwiseConv):
    __doc__ = _doc(_DEPTHWISE, 2)
    _plain = True
    _rank = 2


class _SeparableConv(_Convolution):
    _plain = True
    _kernels = ("depthwise_kernel", "pointwise_kernel")
    _prefixes = ("depthwise", "pointwise")
    _sizes = ("filters", "depth_multiplier")
    _strides_dilated = True

    def __init__(self, filters, kernel_size, strides=1, padding="valid", data_format=None,
                 dilation_rate=1, depth_multiplier=1, activation=None, use_bias=True,
                 depthwise_initializer="glorot_uniform", pointwise_initializer="glorot_uniform",
                 bias_initializer="zeros", depthwise_regularizer=None, pointwise_regularizer=None,
                 bias_regularizer=None, activity_regularizer=None, depthwise_constraint=None,
                 pointwise_constraint=None, bias_constraint=None, **kwargs):
        self._set_up(locals(), activity_regularizer, kwargs)

    def _kernel_shapes(self, channels):
        return ((*self.kernel_size, channels, self.depth_multiplier),
                (*(1,) * self._rank, channels * self.depth_multiplier, self.filters))

    def _convolve(self, inputs, depthwise_kernel, pointwise_kernel):
        return _ops.separable_conv(inputs, depthwise_kernel, pointwise_kernel, self.strides,
                                   self.padding, self.data_format, self.dilation_rate)


_SEPARABLE = """A depthwise convolution over {axes}, one of size 1, bias, then the activation.

    Args:
        filters: Integer > 0, the number of channels of the output.
        kernel_size: {number}, the size of the window.
        strides: {number}. Defaults to 1.
        padding: `"valid"`{causal} or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        dilation_rate: {number}: 1, or the strides are 1.
        depth_multiplier: Integer > 0: kernels for each channel. Defaults to 1.
        activation: A function, the name of one, or `None` for none.
        use_bias: Whether there is a bias. Defaults to `True`.
        depthwise_initializer: First values of `depthwise_kernel`.
        pointwise_initializer: First values of `pointwise_kernel`.
        bias_initializer: First values of `bias`, `(filters,)`.
        depthwise_regularizer: Penalty of the depthwise kernel.
        pointwise_regularizer: Penalty of the pointwise kernel.
        bias_regularizer: Penalty of the bias.
        activity_regularizer: Penalty of the output.
        depthwise_constraint: What the depthwise kernel is mapped by after each step.
        pointwise_constraint: What the pointwise kernel is mapped by after each step.
        bias_constraint: What the bias is mapped by after each step.
        **kwargs: See `Layer`.
    """


class SeparableConv1D(_SeparableConv):
    __doc__ = _doc(_SEPARABLE, 1)
    _plain = True
    _rank = 1


class SeparableConv2D(_SeparableConv):
    __doc__ = _doc(_SEPARABLE, 2)
    _plain = True
    _rank = 2


Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D
Convolution1DTranspose, Convolution2DTranspose = Conv1DTranspose, Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D
