"""Layers that bring numbers to mean 0 and variance 1, or to length 1, along some axes."""
import warnings

from .. import config, constraints, initializers, ops, regularizers
from ..ops.core import cast_array
from ..ops.nn import _wide
from .input_spec import InputSpec
from .layer import Layer
from .wrapper import Wrapper


class _Affine(Layer):
    """Base of the layers with a factor `gamma` and an offset `beta`."""

    _plain = True

    def __init__(self, center, scale, beta_initializer, gamma_initializer, beta_regularizer,
                 gamma_regularizer, beta_constraint, gamma_constraint, **kwargs):
        super().__init__(**kwargs)
        self.center, self.scale = bool(center), bool(scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.supports_masking = True

    def _check_epsilon(self, epsilon):
        if isinstance(epsilon, bool) or not isinstance(epsilon, (int, float)) or not epsilon >= 0:
            raise ValueError(f"{type(self).__name__}: `epsilon` must be >= 0. Received: "
                             f"epsilon={epsilon!r}")
        return epsilon

    def _add_affine(self, shape, factor_only=False):
        if None in shape:
            raise ValueError(f"Layer '{self.name}': the sizes of the axes in `axis` must be known. "
                             f"Received: axis={self.axis}, sizes={tuple(shape)}")
        self.gamma = self.beta = None
        if self.scale or factor_only:
            self.gamma = self.add_weight(name="gamma", shape=shape, autocast=False,
                                         initializer=self.gamma_initializer,
                                         regularizer=self.gamma_regularizer,
                                         constraint=self.gamma_constraint)
        if self.center and not factor_only:
            self.beta = self.add_weight(name="beta", shape=shape, autocast=False,
                                        initializer=self.beta_initializer,
                                        regularizer=self.beta_regularizer,
                                        constraint=self.beta_constraint)

    def _size(self, input_shape):
        if not -len(input_shape) <= self.axis < len(input_shape):
            raise ValueError(f"Layer '{self.name}': axis {self.axis} is out of bounds for input "
                             f"shape {tuple(input_shape)}.")
        return input_shape[self.axis]

    def compute_output_shape(self, input_shape):
        return input_shape

    def _affine_config(self):
        return {"beta_initializer": initializers.serialize(self.beta_initializer),
                "gamma_initializer": initializers.serialize(self.gamma_initializer),
                "beta_regularizer": regularizers.serialize(self.beta_regularizer),
                "gamma_regularizer": regularizers.serialize(self.gamma_regularizer),
                "beta_constraint": constraints.serialize(self.beta_constraint),
                "gamma_constraint": constraints.serialize(self.gamma_constraint)}


class BatchNormalization(_Affine):
    """Brings each channel to mean 0 and variance 1: in training over the batch, otherwise by the
    moving mean and variance that training kept.

    Args:
        axis: Integer, the axis of the channels. Defaults to `-1`.
        momentum: How much of the moving statistics stays in a step. Defaults to `0.99`.
        epsilon: Float >= 0, added to the variance. Defaults to `1e-3`.
        center: Whether there is an offset `beta`.
        scale: Whether there is a factor `gamma`.
        beta_initializer, gamma_initializer: Their first values.
        moving_mean_initializer, moving_variance_initializer: First values of the statistics.
        beta_regularizer, gamma_regularizer: Their penalties.
        beta_constraint, gamma_constraint: What they are mapped by after each step.
        renorm: Whether the batch's mean and deviation are corrected in training towards moving
            ones: `x` becomes `x * r + d`, with `r` and `d` taken as constants.
        renorm_clipping: Dictionary with some of `"rmin"`, `"rmax"` (limits of `r`) and `"dmax"`
            (of the size of `d`); what is missing limits nothing.
        renorm_momentum: How much of the statistics of `renorm` stays in a step.
        synchronized: Has no effect on one machine.
        **kwargs: See `Layer`.

    With `trainable = False` the moving statistics are used in training too, as in Keras.

    Raises:
        ValueError: If `axis` is no integer, `renorm_clipping` has other keys, `rmax < rmin`, or
            `dmax < 0`.
    Reference: [Ioffe & Szegedy, 2015](https://arxiv.org/abs/1502.03167); `renorm`: [Ioffe,
    2017](https://arxiv.org/abs/1702.03275)
    """

    _plain = True

    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True,
                 beta_initializer="zeros", gamma_initializer="ones",
                 moving_mean_initializer="zeros", moving_variance_initializer="ones",
                 beta_regularizer=None, gamma_regularizer=None, beta_constraint=None,
                 gamma_constraint=None, renorm=False, renorm_clipping=None, renorm_momentum=0.99,
                 synchronized=False, **kwargs):
        super().__init__(center, scale, beta_initializer, gamma_initializer, beta_regularizer,
                         gamma_regularizer, beta_constraint, gamma_constraint, **kwargs)
        if isinstance(axis, bool) or not isinstance(axis, int):
            raise ValueError("BatchNormalization: `axis` must be an integer. Received: "
                             f"axis={axis!r}")
        self.axis = axis
        self.synchronized = synchronized
        self.momentum = float(momentum)
        self.epsilon = self._check_epsilon(epsilon)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.renorm, self.renorm_momentum = renorm, renorm_momentum
        self.renorm_clipping = _check_clipping(renorm_clipping) if renorm else renorm_clipping

    def build(self, input_shape):
        shape = (self._size(input_shape),)
        self._add_affine(shape)
        self._add_statistic("moving_mean", shape, self.moving_mean_initializer)
        self._add_statistic("moving_variance", shape, self.moving_variance_initializer)
        if self.renorm:
            def deviation(shape, dtype=None):
                return ops.sqrt(self.moving_variance_initializer(shape, dtype=dtype))
            self._add_statistic("moving_stddev", shape, deviation)
            self._add_statistic("renorm_mean", shape, self.moving_mean_initializer)
            self._add_statistic("renorm_stddev", shape, deviation)
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: shape[0]})
        axes = list(range(len(input_shape)))
        del axes[self.axis]
        self._reduction_axes = tuple(axes)

    def _add_statistic(self, name, shape, initializer):
        setattr(self, name, self.add_weight(name=name, shape=shape, initializer=initializer,
                                            trainable=False, autocast=False))

    def call(self, inputs, training=None, mask=None):
        if mask is not None and len(mask.shape) != len(inputs.shape) - 1:
            raise ValueError(f"Layer '{self.name}': the mask must have one axis less than the "
                             f"inputs. Received: mask.shape={tuple(mask.shape)}, "
                             f"inputs.shape={tuple(inputs.shape)}")
        kept, inputs = inputs.dtype, _wide(inputs)
        offset, scale = self.beta, self.gamma
        if training and self.trainable:
            mean, variance = self._moments(inputs, mask)
            if self.renorm:
                offset, scale = self._corrected(mean, variance)
            else:
                _follow(self.moving_mean, mean, self.momentum)
                _follow(self.moving_variance, variance, self.momentum)
        else:
            mean, variance = self.moving_mean, self.moving_variance
        return cast_array(ops.batch_normalization(inputs, mean, variance, self.axis, offset=offset,
                                                  scale=scale, epsilon=self.epsilon), kept)

    def _corrected(self, mean, variance):
        """Offset and factor with the correction in them: `(x r + d) gamma + beta`; moves the
        statistics.
        """
        stddev = ops.sqrt(ops.add(variance, self.epsilon))
        known = ops.maximum(self.renorm_stddev, self.epsilon ** 0.5)
        r = ops.divide(stddev, known)
        d = ops.divide(ops.subtract(mean, self.renorm_mean), known)
        low, high, most = (self.renorm_clipping.get(key) for key in ("rmin", "rmax", "dmax"))
        r = r if low is None else ops.maximum(r, low)
        r = ops.stop_gradient(r if high is None else ops.minimum(r, high))
        d = ops.stop_gradient(d if most is None else ops.clip(d, -most, most))
        _follow(self.renorm_mean, mean, self.renorm_momentum)
        _follow(self.renorm_stddev, stddev, self.renorm_momentum)
        _follow(self.moving_mean, mean, self.momentum)
        now = _follow(self.moving_stddev, stddev, self.momentum)
        self.moving_variance.assign(ops.relu(ops.subtract(ops.square(now), self.epsilon)))
        if self.gamma is not None:
            r, d = ops.multiply(r, self.gamma), ops.multiply(d, self.gamma)
        return d if self.beta is None else ops.add(d, self.beta), r

    def _moments(self, inputs, mask):
        axes = self._reduction_axes
        if mask is None:
            return ops.moments(inputs, axes)
        weights = ops.broadcast_to(ops.expand_dims(cast_array(mask, inputs.dtype), -1),
                                   inputs.shape)
        total = ops.add(ops.sum(weights, axes, keepdims=True), config.epsilon())
        mean = ops.divide(ops.sum(ops.multiply(weights, inputs), axes, keepdims=True), total)
        squares = ops.square(ops.subtract(ops.multiply(weights, inputs), mean))
        variance = ops.divide(ops.sum(ops.multiply(weights, squares), axes, keepdims=True), total)
        return ops.squeeze(mean, axes), ops.squeeze(variance, axes)

    def get_config(self):
        return {**super().get_config(), "axis": self.axis, "momentum": self.momentum,
                "epsilon": self.epsilon, "center": self.center, "scale": self.scale,
                **self._affine_config(),
                "moving_mean_initializer": initializers.serialize(self.moving_mean_initializer),
                "moving_variance_initializer":
                    initializers.serialize(self.moving_variance_initializer),
                "synchronized": self.synchronized, "renorm": self.renorm,
                "renorm_clipping": self.renorm_clipping, "renorm_momentum": self.renorm_momentum}


def _follow(moving, now, momentum):
    """A moving average goes on; its new value."""
    moved = ops.add(ops.multiply(moving, momentum), ops.multiply(now, 1.0 - momentum))
    moving.assign(moved)
    return moved


def _check_clipping(clipping):
    clipping = dict(clipping or {})
    low, high, most = (clipping.get(key) for key in ("rmin", "rmax", "dmax"))
    if set(clipping) - {"rmin", "rmax", "dmax"}:
        raise ValueError("BatchNormalization: `renorm_clipping` has keys other than 'rmin', 'rmax' "
                         f"and 'dmax'. Received: renorm_clipping={clipping}")
    if (None not in (low, high) and high < low) or (most is not None and most < 0):
        raise ValueError("BatchNormalization: `renorm_clipping` must have rmin <= rmax and dmax >= "
                         f"0. Received: renorm_clipping={clipping}")
    return clipping


class LayerNormalization(_Affine):
    """Normalizes each sample over `axis`: `y = (x - mean) / sqrt(var + epsilon) * gamma + beta`.

    Args:
        axis: Integer or list of integers. Defaults to `-1`.
        epsilon: Float >= 0, added to the variance. Defaults to `1e-3`.
        center: Whether there is an offset `beta`.
        scale: Whether there is a factor `gamma`.
        beta_initializer, gamma_initializer: Their first values.
        beta_regularizer, gamma_regularizer: Their penalties.
        beta_constraint, gamma_constraint: What they are mapped by after each step.
        **kwargs: See `Layer`. `rms_scaling=True` of older scripts divides by the deviation without
            taking the mean off, and has no `beta`; new ones use `RMSNormalization`.

    Reference: [Ba et al., 2016](https://arxiv.org/abs/1607.06450)
    """

    _plain = True

    def __init__(self, axis=-1, epsilon=1e-3, center=True, scale=True, beta_initializer="zeros",
                 gamma_initializer="ones", beta_regularizer=None, gamma_regularizer=None,
                 beta_constraint=None, gamma_constraint=None, **kwargs):
        rms_scaling = kwargs.pop("rms_scaling", False)
        if rms_scaling:
            warnings.warn("LayerNormalization: `rms_scaling=True` is deprecated: use "
                          "RMSNormalization, which divides by the root of the mean square.",
                          stacklevel=2)
        super().__init__(center, scale, beta_initializer, gamma_initializer, beta_regularizer,
                         gamma_regularizer, beta_constraint, gamma_constraint, **kwargs)
        self.rms_scaling = rms_scaling
        if not isinstance(axis, int) and not (isinstance(axis, (list, tuple)) and axis and all(
                isinstance(a, int) for a in axis)):
            raise TypeError("LayerNormalization: `axis` must be an integer or a list of integers. "
                            f"Received: axis={axis!r}")
        self.axis = list(axis) if isinstance(axis, (list, tuple)) else axis
        self.epsilon = self._check_epsilon(epsilon)

    def build(self, input_shape):
        self.axis = sorted(self.axis) if isinstance(self.axis, list) else [self.axis]
        if not all(-len(input_shape) <= a < len(input_shape) for a in self.axis):
            raise ValueError(f"Layer '{self.name}': an axis of {self.axis} is out of bounds for "
                             f"input shape {tuple(input_shape)}.")
        self._add_affine(tuple(input_shape[a] for a in self.axis), self.rms_scaling)

    def call(self, inputs):
        return ops.layer_normalization(inputs, self.gamma, self.beta, self.axis, self.epsilon,
                                       rms_scaling=self.rms_scaling)

    def get_config(self):
        return {**super().get_config(), "axis": self.axis, "epsilon": self.epsilon,
                "center": self.center, "scale": self.scale, "rms_scaling": self.rms_scaling,
                **self._affine_config()}


class GroupNormalization(_Affine):
    """Normalizes each sample over groups of channels and all other axes.

    Args:
        groups: Integer > 0 that divides the number of channels, or `-1`: a group a channel.
        axis: Integer, the axis of the channels. Defaults to `-1`.
        epsilon: Float >= 0, added to the variance. Defaults to `1e-3`.
        center: Whether there is an offset `beta`.
        scale: Whether there is a factor `gamma`.
        beta_initializer, gamma_initializer: Their first values.
        beta_regularizer, gamma_regularizer: Their penalties.
        beta_constraint, gamma_constraint: What they are mapped by after each step.
        **kwargs: See `Layer`.

    Reference: [Wu & He, 2018](https://arxiv.org/abs/1803.08494)
    """

    _plain = True

    def __init__(self, groups=32, axis=-1, epsilon=1e-3, center=True, scale=True,
                 beta_initializer="zeros", gamma_initializer="ones", beta_regularizer=None,
                 gamma_regularizer=None, beta_constraint=None, gamma_constraint=None, **kwargs):
        if isinstance(groups, bool) or not isinstance(groups, int) or groups <= 0 and groups != -1:
            raise ValueError("GroupNormalization: invalid value for `groups`, expected a positive "
                             f"integer or -1. Received: groups={groups!r}")
        super().__init__(center, scale, beta_initializer, gamma_initializer, beta_regularizer,
                         gamma_regularizer, beta_constraint, gamma_constraint, **kwargs)
        self.groups = groups
        self.axis = axis
        self.epsilon = self._check_epsilon(epsilon)

    def build(self, input_shape):
        size = self._size(input_shape)
        if size is not None and self.groups == -1:
            self.groups = size
        if size is not None and size % self.groups:
            raise ValueError(f"Layer '{self.name}': the number of channels must be a multiple of "
                             f"the number of groups. Received: {size} channels, "
                             f"groups={self.groups}")
        self._add_affine((size,))
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: size})

    def call(self, inputs):
        shape = tuple(inputs.shape)
        axis = self.axis % len(shape)
        inner = shape[axis] // self.groups
        x = ops.reshape(_wide(inputs), (*shape[:axis], self.groups, inner, *shape[axis + 1:]))
        axes = tuple(a for a in range(1, len(shape) + 1) if a != axis)
        mean, variance = ops.moments(x, axes, keepdims=True)
        factor = ops.rsqrt(ops.add(variance, self.epsilon))
        wide = [1] * (len(shape) + 1)
        wide[axis], wide[axis + 1] = self.groups, inner
        if self.gamma is not None:
            factor = ops.multiply(factor, ops.reshape(self.gamma, wide))
        shift = ops.negative(ops.multiply(mean, factor))
        if self.beta is not None:
            shift = ops.add(shift, ops.reshape(self.beta, wide))
        return cast_array(ops.reshape(ops.add(ops.multiply(x, factor), shift), shape),
                          inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "groups": self.groups, "axis": self.axis,
                "epsilon": self.epsilon, "center": self.center, "scale": self.scale,
                **self._affine_config()}


class RMSNormalization(Layer):
    """Divides by the root of the mean square over `axis`: `x / sqrt(mean(x^2) + epsilon) * scale`.

    Args:
        axis: Integer or list of integers. Defaults to `-1`.
        epsilon: Float, added to the mean square. Defaults to `1e-6`.
        **kwargs: See `Layer`.

    Masks pass through (in Keras they are lost here).

    Reference: [Zhang & Sennrich, 2019](https://arxiv.org/abs/1910.07467)
    """

    _plain = True

    def __init__(self, axis=-1, epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis
        self.epsilon = epsilon
        self.supports_masking = True

    def build(self, input_shape):
        self.axis = list(self.axis) if isinstance(self.axis, (list, tuple)) else [self.axis]
        self.scale = self.add_weight(name="scale", shape=tuple(input_shape[a] for a in self.axis),
                                     initializer="ones", autocast=False)

    def call(self, inputs):
        return ops.rms_normalization(inputs, self.scale, self.axis, self.epsilon)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "axis": self.axis, "epsilon": self.epsilon}


class UnitNormalization(Layer):
    """Divides by the length over `axis`.

    Args:
        axis: Integer or list of integers. Defaults to `-1`.
        **kwargs: See `Layer`.
    """

    _plain = True

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(axis, int) and not isinstance(axis, (list, tuple)):
            raise TypeError("UnitNormalization: `axis` must be an integer or a list of integers. "
                            f"Received: axis={axis!r}")
        self.axis = list(axis) if isinstance(axis, (list, tuple)) else axis
        # Axes that may be that of the batch make rows depend on one another.
        self._plain = all(a == -1 or a > 0 for a in (
            self.axis if isinstance(self.axis, list) else [axis]))
        self.supports_masking = True
        self._build_at_init()

    def call(self, inputs):
        axes = tuple(self.axis) if isinstance(self.axis, list) else self.axis
        total = ops.sum(ops.square(inputs), axes, keepdims=True)
        return ops.multiply(inputs, ops.rsqrt(ops.maximum(total, 1e-12)))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}


class SpectralNormalization(Wrapper):
    """A layer whose kernel is divided by its largest singular value in each training step.

    Args:
        layer: A layer with a `kernel` or `embeddings`.
        power_iterations: Integer > 0: steps of the power iteration. Defaults to `1`.
        **kwargs: See `Layer`.

    Reference: [Miyato et al., 2018](https://arxiv.org/abs/1802.05957)
    """

    def __init__(self, layer, power_iterations=1, **kwargs):
        super().__init__(layer, **kwargs)
        if isinstance(power_iterations, bool) or not isinstance(power_iterations, int) \
                or power_iterations <= 0:
            raise ValueError("SpectralNormalization: `power_iterations` must be an integer > 0. "
                             f"Received: power_iterations={power_iterations!r}")
        self.power_iterations = power_iterations

    def build(self, input_shape):
        super().build(input_shape)
        self.input_spec = InputSpec(min_ndim=1, axes={-1: input_shape[-1]})
        kernel = getattr(self.layer, "kernel", None)
        kernel = getattr(self.layer, "embeddings", None) if kernel is None else kernel
        if kernel is None:
            raise ValueError(f"{type(self.layer).__name__} object has no attribute 'kernel' nor "
                             "'embeddings'")
        self.kernel = kernel
        self.vector_u = self.add_weight(
            name="vector_u", shape=(1, kernel.shape[-1]), trainable=False, dtype=kernel.dtype,
            initializer=initializers.TruncatedNormal(stddev=0.02))

    def call(self, inputs, training=False):
        if training:
            u, kernel = self.normalized_weights()
            zero = ops.all(ops.equal(self.kernel, 0.0))
            u, kernel = ops.where(zero, self.vector_u, u), ops.where(zero, self.kernel, kernel)
            self.vector_u.assign(u)
            self.kernel.assign(kernel)
        return self.layer(inputs)

    def normalized_weights(self):
        """The vector after the power iterations, and the kernel divided by its spectral norm: two
        tensors. No weight changes.
        """
        w = ops.reshape(self.kernel, (-1, self.kernel.shape[-1]))
        u = self.vector_u
        for _ in range(self.power_iterations):
            v = _unit(ops.matmul(u, ops.transpose(w)))
            u = _unit(ops.matmul(v, w))
        u, v = ops.stop_gradient(u), ops.stop_gradient(v)
        sigma = ops.matmul(ops.matmul(v, w), ops.transpose(u))
        return u, ops.divide(self.kernel, ops.reshape(sigma, ()))

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def get_config(self):
        return {**super().get_config(), "power_iterations": self.power_iterations}


def _unit(x):
    return ops.multiply(x, ops.rsqrt(ops.maximum(ops.sum(ops.square(x)), 1e-12)))
