"""Callbacks: objects that `fit`, `evaluate` and `predict` call at fixed points."""
from nnc.callbacks.backup_and_restore import BackupAndRestore
from nnc.callbacks.callback import Callback
from nnc.callbacks.callback_list import CallbackList
from nnc.callbacks.csv_logger import CSVLogger
from nnc.callbacks.early_stopping import EarlyStopping
from nnc.callbacks.history import History
from nnc.callbacks.lambda_callback import LambdaCallback
from nnc.callbacks.learning_rate import LearningRateScheduler, ReduceLROnPlateau
from nnc.callbacks.live_plot import LivePlot
from nnc.callbacks.model_checkpoint import ModelCheckpoint
from nnc.callbacks.one_cycle import OneCycle, lr_find
from nnc.callbacks.progbar_logger import ProgbarLogger
from nnc.callbacks.remote_monitor import RemoteMonitor
from nnc.callbacks.swap_ema_weights import SwapEMAWeights
from nnc.callbacks.tensorboard import TensorBoard
from nnc.callbacks.terminate_on_nan import TerminateOnNaN

__all__ = [
    "BackupAndRestore", "CSVLogger", "Callback", "CallbackList", "EarlyStopping", "History",
    "LambdaCallback", "LearningRateScheduler", "LivePlot", "ModelCheckpoint", "OneCycle",
    "ProgbarLogger", "ReduceLROnPlateau", "RemoteMonitor", "SwapEMAWeights", "TensorBoard",
    "TerminateOnNaN", "lr_find",
]
