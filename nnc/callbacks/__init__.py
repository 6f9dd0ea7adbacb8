"""Callbacks: objects that `fit`, `evaluate` and `predict` call at fixed points."""
from nnc.callbacks.callback import Callback
from nnc.callbacks.callback_list import CallbackList
from nnc.callbacks.csv_logger import CSVLogger
from nnc.callbacks.early_stopping import EarlyStopping
from nnc.callbacks.history import History
from nnc.callbacks.lambda_callback import LambdaCallback
from nnc.callbacks.learning_rate import LearningRateScheduler, ReduceLROnPlateau
from nnc.callbacks.progbar_logger import ProgbarLogger
from nnc.callbacks.terminate_on_nan import TerminateOnNaN

__all__ = [
    "CSVLogger", "Callback", "CallbackList", "EarlyStopping", "History", "LambdaCallback",
    "LearningRateScheduler", "ProgbarLogger", "ReduceLROnPlateau", "TerminateOnNaN",
]
