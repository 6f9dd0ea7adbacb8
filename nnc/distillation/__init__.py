"""`nnc.distillation`: a student model trained on labels and on what a teacher model says."""
from .distiller import Distiller
from .losses import DistillationLoss, FeatureDistillation, LogitsDistillation

ALL_OBJECTS = {cls.__name__: cls for cls in (DistillationLoss, Distiller, FeatureDistillation,
                                             LogitsDistillation)}
