"""RandAugment: a few of eleven layers at random."""
from ... import ops, random
from ...ops.core import cast_array
from .affine import RandomRotation, RandomShear, RandomTranslation
from .base import BaseImagePreprocessingLayer
from .color import (AutoContrast, Equalization, RandomBrightness, RandomColorDegeneration,
                    RandomContrast, RandomPosterization, RandomSharpness, Solarization)


class RandAugment(BaseImagePreprocessingLayer):
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

    _USE_BASE_FACTOR = False
    _FACTOR_BOUNDS = (0, 1)
    _AUGMENT_LAYERS = ("random_shear", "random_translation", "random_rotation",
                       "random_brightness", "random_color_degeneration", "random_contrast",
                       "random_sharpness", "random_posterization", "solarization", "auto_contrast",
                       "equalization")

    def __init__(self, value_range=(0, 255), num_ops=2, factor=0.5, interpolation="bilinear",
                 seed=None, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        if isinstance(num_ops, bool) or not isinstance(num_ops, int) or num_ops < 1:
            raise ValueError("RandAugment: `num_ops` must be an integer > 0. Received: "
                             f"num_ops={num_ops!r}")
        self.num_ops, self.interpolation = num_ops, interpolation
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
        for name, layer in zip(self._AUGMENT_LAYERS, made):
            setattr(self, name, layer)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        seed = self.generator if seed is None else seed
        return {"layer_idxes": random.randint((self.num_ops,), 0, len(self._AUGMENT_LAYERS),
                                              seed=seed),
                "transforms": {name: getattr(self, name).get_random_transformation(
                    data, training=True, seed=seed) for name in self._AUGMENT_LAYERS}}

    def transform_images(self, images, transformation, training=True):
        images = cast_array(images, self.compute_dtype)
        if not training or transformation is None:
            return images

        def branch(name):
            return lambda x: getattr(self, name).transform_images(
                x, transformation["transforms"][name])
        branches = [branch(name) for name in self._AUGMENT_LAYERS]
        for i in range(self.num_ops):
            images = ops.switch(transformation["layer_idxes"][i], branches, images)
        return images

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        """Masks, moved alike."""
        masks = segmentation_masks
        if not training or transformation is None:
            return masks
        for i in range(self.num_ops):
            for number, name in enumerate(self._AUGMENT_LAYERS[:3]):
                moved = getattr(self, name).transform_segmentation_masks(
                    masks, transformation["transforms"][name])
                masks = ops.where(ops.equal(transformation["layer_idxes"][i], number), moved, masks)
        return masks

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        """Boxes, moved alike."""
        if not training or transformation is None:
            return bounding_boxes
        boxes = dict(bounding_boxes)
        for i in range(self.num_ops):
            for number, name in enumerate(self._AUGMENT_LAYERS[:3]):
                moved = getattr(self, name).transform_bounding_boxes(
                    boxes, transformation["transforms"][name])
                chosen = ops.equal(transformation["layer_idxes"][i], number)
                boxes = {**boxes, **{key: ops.where(chosen, moved[key], boxes[key])
                                     for key in ("boxes", "labels")}}
        return boxes

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "value_range": self.value_range, "num_ops": self.num_ops,
                "factor": self.factor, "interpolation": self.interpolation, "seed": self.seed}
