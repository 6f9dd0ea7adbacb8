"""RandAugment and AugMix: a few of eleven layers at random, in a row or in several rows mixed."""
from ... import ops, random
from ...ops.core import cast_array
from .affine import RandomRotation, RandomShear, RandomTranslation
from .base import BaseImagePreprocessingLayer
from .color import (AutoContrast, Equalization, RandomBrightness, RandomColorDegeneration,
                    RandomContrast, RandomPosterization, RandomSharpness, Solarization)


_MOVING = ("random_shear", "random_translation", "random_rotation")
_COLORS = ("random_brightness", "random_color_degeneration", "random_contrast", "random_sharpness")
_LEVELS = ("random_posterization", "solarization", "auto_contrast", "equalization")


class _Several(BaseImagePreprocessingLayer):
    """Base: `names` are layers, attributes of this one, that are drawn from."""

    _USE_BASE_FACTOR = False
    _FACTOR_BOUNDS = (0, 1)

    def __init__(self, names, value_range, factor, interpolation, seed, data_format, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        if interpolation not in ("nearest", "bilinear"):
            raise ValueError(f"{type(self).__name__}: `interpolation` must be 'nearest' or "
                             f"'bilinear'. Received: interpolation={interpolation!r}")
        self.interpolation = interpolation
        self._set_factor(factor)
        self._set_value_range(value_range)
        self._set_seed(seed)
        f, both = self.factor, {"data_format": self.data_format,
                                "bounding_box_format": self.bounding_box_format}
        moving = {**both, "seed": seed, "interpolation": interpolation}
        color = {**both, "value_range": value_range, "seed": seed}
        made = (RandomShear(f, f, **moving), RandomTranslation(f, f, **moving),
                RandomRotation(f, **moving), RandomBrightness(f, **color),
                RandomColorDegeneration(f, **color), RandomContrast(f, **color),
                RandomSharpness(f, **color),
                RandomPosterization(max(1, int(8 * f[1])), **color),
                Solarization(f, f, **color), AutoContrast(value_range, **both),
                Equalization(value_range, **both))
        for name, layer in zip(_MOVING + _COLORS + _LEVELS, made):
            if name in names:
                setattr(self, name, layer)

    def _drawn(self, names, data, seed):
        return {name: getattr(self, name).get_random_transformation(data, training=True, seed=seed)
                for name in names}

    def _changed(self, names, images, transforms, number):
        """Images, by layer `number`, a tensor; as they are past the last one."""
        def branch(name):
            return lambda x: getattr(self, name).transform_images(x, transforms[name])
        return ops.switch(number, [branch(name) for name in names] + [lambda x: x], images)

    def _moved(self, method, parts, transforms, number):
        """The arrays of a dict by the method of layer `number`, where that moves things."""
        for place, name in enumerate(_MOVING):
            moved = getattr(getattr(self, name), method)(
                parts if len(parts) > 1 else parts["masks"], transforms[name])
            moved = moved if len(parts) > 1 else {"masks": moved}
            chosen = ops.equal(number, place)
            parts = {**parts, **{key: ops.where(chosen, moved[key], parts[key]) for key in parts
                                 if key in ("boxes", "labels", "masks")}}
        return parts

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "value_range": self.value_range, "factor": self.factor,
                "interpolation": self.interpolation, "seed": self.seed}


class RandAugment(_Several):
    """Shears, moves, turns, or changes the colors of a batch: `num_ops` of these, one after another.

    Args:
        value_range: The lowest and highest value. Defaults to `(0, 255)`.
        num_ops: How many layers. Defaults to 2.
        factor: A number or a pair, from 0 to 1: the factor of each. Defaults to 0.5.
        interpolation: `"bilinear"` or `"nearest"`.
        seed: Seed.
        data_format, **kwargs: See `BaseImagePreprocessingLayer`.

    Reference: [Cubuk et al., 2019](https://arxiv.org/abs/1909.13719)
    """

    _AUGMENT_LAYERS = _MOVING + _COLORS + _LEVELS

    def __init__(self, value_range=(0, 255), num_ops=2, factor=0.5, interpolation="bilinear",
                 seed=None, data_format=None, **kwargs):
        if isinstance(num_ops, bool) or not isinstance(num_ops, int) or num_ops < 1:
            raise ValueError("RandAugment: `num_ops` must be an integer > 0. Received: "
                             f"num_ops={num_ops!r}")
        super().__init__(self._AUGMENT_LAYERS, value_range, factor, interpolation, seed,
                         data_format, **kwargs)
        self.num_ops = num_ops

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        seed = self.generator if seed is None else seed
        return {"layer_idxes": random.randint((self.num_ops,), 0, len(self._AUGMENT_LAYERS),
                                              seed=seed),
                "transforms": self._drawn(self._AUGMENT_LAYERS, data, seed)}

    def transform_images(self, images, transformation, training=True):
        images = cast_array(images, self.compute_dtype)
        if not training or transformation is None:
            return images
        for i in range(self.num_ops):
            images = self._changed(self._AUGMENT_LAYERS, images, transformation["transforms"],
                                   transformation["layer_idxes"][i])
        return images

    def _all_moved(self, method, parts, transformation, training):
        if training and transformation is not None:
            for i in range(self.num_ops):
                parts = self._moved(method, parts, transformation["transforms"],
                                    transformation["layer_idxes"][i])
        return parts

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        """Masks, moved alike."""
        return self._all_moved("transform_segmentation_masks", {"masks": segmentation_masks},
                               transformation, training)["masks"]

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        """Boxes, moved alike."""
        return self._all_moved("transform_bounding_boxes", dict(bounding_boxes), transformation,
                               training)

    def get_config(self):
        return {**super().get_config(), "num_ops": self.num_ops}


class AugMix(_Several):
    """Mixes a batch with changed copies of itself: each of `num_chains` copies goes through up to
    `chain_depth` layers that shear, move, turn, or change the colors.

    Args:
        value_range: The lowest and highest value. Defaults to `(0, 255)`.
        num_chains: How many copies. Defaults to 3.
        chain_depth: How many layers at most. Defaults to 3.
        factor: A number or a pair, from 0 to 1: the factor of each layer. Defaults to 0.3.
        alpha: A number > 0: the shares of the copies are of a Dirichlet distribution with it, the
            share of the original of a beta distribution. Defaults to 1.0.
        all_ops: Whether brightness, contrast, sharpness and the strength of colors are changed too.
            Defaults to `True`.
        interpolation: `"bilinear"` or `"nearest"`.
        seed: Seed; it also draws which layers there are (Keras takes Python's generator for that).
        data_format, **kwargs: See `BaseImagePreprocessingLayer`.

    Boxes and labels stay. Masks are mixed as the images are.

    Reference: [Hendrycks et al., 2019](https://arxiv.org/abs/1912.02781)
    """

    def __init__(self, value_range=(0, 255), num_chains=3, chain_depth=3, factor=0.3, alpha=1.0,
                 all_ops=True, interpolation="bilinear", seed=None, data_format=None, **kwargs):
        for name, value in (("num_chains", num_chains), ("chain_depth", chain_depth)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"AugMix: `{name}` must be an integer > 0. Received: "
                                 f"{name}={value!r}")
        if not isinstance(alpha, (int, float)) or not alpha > 0:
            raise ValueError(f"AugMix: `alpha` must be a number > 0. Received: alpha={alpha!r}")
        names = _MOVING + (_COLORS if all_ops else ()) + _LEVELS
        super().__init__(names, value_range, factor, interpolation, seed, data_format, **kwargs)
        self.num_chains, self.chain_depth = num_chains, chain_depth
        self.alpha, self.all_ops = alpha, bool(all_ops)
        self._augment_layers = names

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        seed = self.generator if seed is None else seed
        shares = random.gamma((self.num_chains,), self.alpha, seed=seed)
        return {"chain_mixing_weights": shares / ops.sum(shares),
                "weight_sample": random.beta((), self.alpha, self.alpha, seed=seed),
                "layer_idxes": random.randint((self.num_chains, self.chain_depth), 0,
                                              len(self._augment_layers) + 1, seed=seed),
                "chain_transforms": [[self._drawn(self._augment_layers, data, seed)
                                      for _ in range(self.chain_depth)]
                                     for _ in range(self.num_chains)]}

    def _mixed(self, x, transformation, change):
        """The share of `x` and those of its copies; `change(x, transforms, number)` is a layer."""
        share = cast_array(transformation["weight_sample"], x.dtype)
        mixed = ops.zeros_like(x)
        for i, chain in enumerate(transformation["chain_transforms"]):
            copy = x
            for j, transforms in enumerate(chain):
                copy = change(copy, transforms, transformation["layer_idxes"][i, j])
            mixed = mixed + copy * cast_array(transformation["chain_mixing_weights"][i], x.dtype)
        return share * x + (1.0 - share) * mixed

    def transform_images(self, images, transformation, training=True):
        images = cast_array(images, self.compute_dtype)
        if not training or transformation is None:
            return images
        mixed = self._mixed(images, transformation, lambda *step: self._changed(
            self._augment_layers, *step))
        return ops.clip(mixed, *self.value_range)

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        """Masks, moved and mixed alike: numbers of the compute dtype."""
        if not training or transformation is None:
            return segmentation_masks
        return self._mixed(
            cast_array(segmentation_masks, self.compute_dtype), transformation,
            lambda masks, *step: self._moved("transform_segmentation_masks", {"masks": masks},
                                             *step)["masks"])

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        """As they are."""
        return bounding_boxes

    def get_config(self):
        return {**super().get_config(), "num_chains": self.num_chains,
                "chain_depth": self.chain_depth, "alpha": self.alpha, "all_ops": self.all_ops}
