"""compile, fit, evaluate, predict: what turns a model's call into training.

Every loop runs on recorded steps (recording.py): Python is there between epochs, about ten times a
second for a progress bar, and between batches only where a callback asks for it.
"""
import time
import warnings

import numpy as np

from . import _core, config, optimizers, tree
from .autograd import GradientTape
from .callbacks import CallbackList, EarlyStopping
from .callbacks.backup_and_restore import Position
from .callbacks.model_checkpoint import check_names
from .compile_utils import CompileLoss, CompileMetrics, as_loss_scalar, check_loss, check_metrics
from .data import (Batches, Data, Stream, check_count, class_weights, open_source, split,
                   standardize, unpack_x_y_sample_weight)
from .data.arrays import limited
from .data.sources import Rows, open_rows
from .fit_options import batch_rule, capped, check_options, check_verbose, is_due
from .metrics import Mean, Metric
from .predicting import Groups, Outputs, row_blocks, rows_are_independent
from .random.seed_generator import make_default_seed
from .recording import Run, check_finite, feed_dtype
from .saving.object_registration import deserialize_keras_object, serialize_keras_object
from .variables import changes
from .warnings import outside

# How often a progress bar moves within an epoch.
_SECONDS = 0.1
#: Shapes for which `predict` takes the short way, at most.
_FAST = 8


class Trainer:
    """The part of a model that is about training. `Model` derives from it and from `Layer`."""

    def __init__(self):
        self.optimizer = None
        self.loss = None
        self.compiled = False
        self.run_eagerly = False
        self.jit_compile = False
        self.steps_per_execution = 1
        self.stop_training = self.stop_evaluating = self.stop_predicting = False
        self.history = None
        self._order = None          # where the last fit's orders are, for one that goes on
        self._compile_loss = self._compile_metrics = self._loss_tracker = None
        self._compile_arguments = None
        self._forget()

    def _forget(self):
        """Drops all programs."""
        values = self.__dict__
        values["_programs"], values["_eager_kinds"], values["_fast"] = {}, set(), (None, ())
        values["_last_results"] = {}

    # ---- compile ----

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None,
                weighted_metrics=None, run_eagerly=False, steps_per_execution=1, jit_compile="auto",
                auto_scale_loss=True):
        """Says how the model is trained.

        Args:
            optimizer: An optimizer or the name of one.
            loss: A loss, the name of one, or a function of `(y_true, y_pred)`; for a model with
                several outputs one for all, or a list or dict with one for each.
            loss_weights: A number that the loss is multiplied by, or a list or dict of these.
            metrics: List of metrics, names or functions; `"accuracy"` becomes what fits the shapes.
                For several outputs a list or dict with the metrics of each.
            weighted_metrics: The same, weighted by `sample_weight`.
            run_eagerly: Whether steps are never recorded: slower, for debugging.
            steps_per_execution: Batches between two calls of the batch hooks of callbacks.
            jit_compile: Accepted for Keras's scripts: steps are always recorded and compiled.
            auto_scale_loss: Whether the optimizer of a model with the policy `"mixed_float16"` is
                put into a `LossScaleOptimizer`.

        Raises:
            ValueError: If a name is not known or an argument is of another kind; the model stays as
                it is.
        """
        made = optimizers.get(optimizer)
        if auto_scale_loss and made is not None and self.dtype_policy.name == "mixed_float16" \
                and not isinstance(made, optimizers.LossScaleOptimizer):
            made = optimizers.LossScaleOptimizer(made, name="loss_scale_optimizer")
        loss, weight = check_loss(loss, loss_weights)
        plain = check_metrics(metrics, "metrics")
        weighted = check_metrics(weighted_metrics, "weighted_metrics")
        steps = check_count(steps_per_execution, "steps_per_execution", "compile")
        if jit_compile not in ("auto", True, False, None):
            raise ValueError("compile: `jit_compile` must be True, False or 'auto'. "
                             f"Received: jit_compile={jit_compile!r}")
        self._forget()
        self.__dict__.update(_advised=False, _told=set())
        self.optimizer = made
        self.loss = loss
        self._compile_loss = None if loss is None else CompileLoss(loss, weight)
        self._compile_metrics = None
        if metrics is not None or weighted_metrics is not None:
            self._compile_metrics = CompileMetrics(plain, weighted)
        self._loss_tracker = Mean(name="loss")
        self.run_eagerly = bool(run_eagerly)
        self.steps_per_execution = steps
        self.jit_compile = jit_compile if isinstance(jit_compile, bool) else False
        self.stop_training = False
        self.compiled = True
        self._compile_arguments = {
            "optimizer": made, "loss": loss, "loss_weights": loss_weights, "metrics": metrics,
            "weighted_metrics": weighted_metrics, "run_eagerly": self.run_eagerly,
            "steps_per_execution": steps, "jit_compile": self.jit_compile}

    def get_compile_config(self):
        """The arguments of `compile` as a dictionary; empty before it was called."""
        return serialize_keras_object(self._compile_arguments) if self.compiled else {}

    def compile_from_config(self, config):
        """Compiles with what `get_compile_config` gave; with a warning instead where `compile` is
        overridden and this is not.
        """
        if type(self).compile is not Trainer.compile:
            warnings.warn("`compile()` was not called as part of model loading because the model's "
                          "`compile()` method is custom. All subclassed Models that have "
                          "`compile()` overridden should also override `get_compile_config()` and "
                          "`compile_from_config(config)`. Alternatively, you can call `compile()` "
                          "manually after loading.", stacklevel=2)
            return
        self.compile(**deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def _check_compiled(self, who):
        if not self.compiled:
            raise ValueError(f"You must call `compile()` before calling `{who}()`.")

    # ---- metrics ----

    @property
    def metrics(self):
        """The loss's mean, the compiled metrics, and those of the layers."""
        found = [m for m in (self._loss_tracker, self._compile_metrics) if m is not None]
        if self._compile_loss is not None:
            found.extend(self._compile_loss.metrics)
        for layer in self._flatten_layers():
            found.extend(layer._parts(Metric))
        return found

    @property
    def metrics_names(self):
        """The names of `metrics`."""
        return [metric.name for metric in self.metrics]

    def reset_metrics(self):
        """Sets all metrics to their beginning."""
        for metric in self.metrics:
            metric.reset_state()

    def get_metrics_result(self):
        """Name and value of each metric."""
        results = {}
        for metric in self.metrics:
            if metric is self._compile_metrics and not metric.built:
                continue
            value = metric.result()
            if isinstance(value, dict):
                results.update(value)
            else:
                results[metric.name] = value
        self.__dict__["_last_results"] = results
        return results

    def _metric_names(self):
        names = []
        for metric in self.metrics:
            names.extend(metric.names() if metric is self._compile_metrics else [metric.name])
        return names

    def _in_order(self, logs):
        """The values of `logs` as a list, in the order of the metrics; alone if there is one."""
        names = self._metric_names()
        values = [logs[name] for name in names if name in logs]
        values += [logs[name] for name in sorted(logs) if name not in names]
        return values[0] if len(values) == 1 else values

    # ---- steps ----

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss of a batch, with what layers add. May be overridden."""
        losses = []
        if self._compile_loss is not None:
            self._compile_loss.output_names = getattr(self, "output_names", None)
            total = self._compile_loss(y, y_pred, sample_weight)
            if total is not None:
                losses.append(total)
        losses.extend(as_loss_scalar(loss, config.floatx()) for loss in self.losses)
        if not losses:
            raise ValueError("No loss to compute. Provide a `loss` argument in `compile()`.")
        total = losses[0]
        for loss in losses[1:]:
            total = _core.op.add(total, loss)
        return total

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Takes a batch into the metrics; their values so far. May be overridden."""
        if self._compile_metrics is not None:
            self._compile_metrics.output_names = getattr(self, "output_names", None)
            self._compile_metrics.losses = getattr(self._compile_loss, "given", None)
            self._compile_metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def _loss_of(self, x, y, y_pred, sample_weight, training):
        """The loss of a batch, noted in the mean over the epoch's samples."""
        loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight,
                                 training=training)
        self.__dict__["_last_loss"] = loss
        self._loss_tracker.update_state(loss, sample_weight=float(tree.flatten(x)[0].shape[0]))
        return loss

    def train_step(self, data):
        """One step of training on a batch; the metrics' values. May be overridden."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        with GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self._loss_of(x, y, y_pred, sample_weight, True)
            scaled = self.optimizer.scale_loss(loss)
        weights = self.trainable_weights
        if weights:
            self.optimizer.apply_gradients(zip(tape.gradient(scaled, weights), weights))
        else:
            warnings.warn("The model does not have any trainable weights.", stacklevel=outside())
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def test_step(self, data):
        """Loss and metrics of a batch. May be overridden."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        self._loss_of(x, y, y_pred, sample_weight, False)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def predict_step(self, data):
        """The outputs for a batch. May be overridden."""
        x, _, _ = unpack_x_y_sample_weight(data)
        return self(x, training=False)

    def _feed_dtype(self, dtype):
        """The dtype that inputs of a NumPy dtype are fed as: float64 goes through `floatx`, as Keras's
        data adapters have it."""
        if hasattr(self, "input_shape"):
            return config.floatx() if self.input_dtype == "float64" else self.input_dtype
        return feed_dtype(dtype, self.compute_dtype)

    # ---- checks before anything changes ----

    def _prepare(self, run, sizes):
        """Records the steps for batches of these sizes, checks labels: refuses what cannot run."""
        for rows in sizes:
            run.recorded(rows)
        self._check_labels(run.data, run.kind)

    def _label_places(self):
        """See `compile_utils.label_places`."""
        return () if self._compile_loss is None else self._compile_loss.labels

    def _check_labels(self, data, kind):
        """Labels must name classes that the output has."""
        leaves = tree.flatten(data.y)
        for place, classes, ignored in self._label_places() if leaves else ():
            y = leaves[place]
            bad = _core.check_labels(y, classes)
            if bad is not None and ignored is not None:
                y = np.where(y == ignored, np.zeros((), y.dtype), y)
                bad = _core.check_labels(y, classes)
            if bad is not None:
                row = bad[0]
                value = y.reshape(len(y), -1)[row]
                wrong = next(v for v in value.tolist() if not 0 <= v < classes or v != int(v))
                raise ValueError(
                    f"{'fit' if kind == 'train' else 'evaluate'}: label {wrong} in row {row} of "
                    f"`y` is out of range: the model's output has {classes} classes, so labels "
                    f"must be whole numbers from 0 to {classes - 1}.")

    def _validation(self, validation_data, batch_size, steps, who="fit"):
        """The run (or `None`) and batches that validate."""
        if isinstance(validation_data, Data):
            return self._open_arrays("test", validation_data, batch_size, steps,
                                     "validation_steps", who)
        if isinstance(validation_data, (tuple, list)) and 1 <= len(validation_data) <= 3:
            parts = (*validation_data, None, None)[:3]
            return self._open("test", f"{who}: validation_data", *parts, None, batch_size, steps,
                              "validation_steps")
        if isinstance(validation_data, (tuple, list)) or open_source(validation_data) is None \
                and not hasattr(validation_data, "column_names"):
            raise ValueError(f"{who}: `validation_data` must be a tuple (x, y) or (x, y, "
                             "sample_weight), or give batches of these. Received: "
                             f"{type(validation_data).__name__}")
        return self._open("test", f"{who}: validation_data", validation_data, None, None, None,
                          batch_size, steps, "validation_steps")

    # ---- data ----

    def _open(self, kind, who, x, y, sample_weight, class_weight, batch_size, steps, name,
              shuffle=False):
        """The run and batches of what a user passed."""
        source = open_source(x, bool(shuffle), make_default_seed() if shuffle else 0)
        if source is None:
            rows = open_rows(x, y, sample_weight, batch_rule(batch_size, steps, name, who), shuffle,
                             0, who, self._string_inputs())
            if rows is not None:
                return self._open_stream(kind, who, rows, class_weight, steps, name)
            data = self._standardized(x, y, sample_weight, class_weight, who)
            return self._open_arrays(kind, data, batch_size, steps, name, who)
        for value, argument in ((y, "y"), (sample_weight, "sample_weight")):
            if value is not None:
                raise ValueError(f"{who}: `{argument}` cannot be passed when `x` is a "
                                 f"{source.what}: its batches hold it: (x, y) or (x, y, "
                                 "sample_weight).")
        return self._open_stream(kind, who, source, class_weight, steps, name)

    def _open_arrays(self, kind, data, batch_size, steps, name, who):
        """The same for arrays, once through."""
        batch_size = batch_rule(batch_size, steps, name, who)(data.count)
        return Run(self, kind, data), Batches(
            data.count, batch_size, steps=capped(steps, -(-data.count // batch_size), name, who))

    def _open_stream(self, kind, who, source, class_weight, steps, name):
        """The same for a source of batches: the first one is read."""
        if kind == "train" or source.steps is None:
            steps = limited(None if steps is None else check_count(steps, name, who), source.steps)
        else:
            steps = capped(steps, source.steps, name, who)
        stream = Stream(source, steps, class_weight, kind == "predict", who, self._standardized)
        run = Run(self, kind, stream.first())
        stream.attach(run)
        return run, stream

    def _standardized(self, x, y=None, sample_weight=None, class_weight=None, who="fit"):
        """`Data` for this model."""
        return standardize(x, y, sample_weight, class_weight, who, self._input_names(),
                           self._enter if self._string_inputs() else None)

    def _string_inputs(self):
        """Whether inputs may hold strings: `None`, `"whole"` or, if arrays must be cut into batches
        before they enter, `"batches"`."""
        return None

    def _input_names(self):
        """The names of the model's inputs, if it has more than one."""
        inputs = getattr(self, "inputs", None) if self.built else None
        names = [getattr(t, "name", None) for t in tree.flatten(inputs)] if inputs else []
        return names if len(names) > 1 and all(names) else None

    # ---- fit ----

    def fit(self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None,
            validation_split=0.0, validation_data=None, shuffle=True, class_weight=None,
            sample_weight=None, initial_epoch=0, steps_per_epoch=None, validation_steps=None,
            validation_batch_size=None, validation_freq=1, keep=None):
        """Trains the model for a number of epochs.

        Args:
            x: Inputs: an array, or a list or dict of arrays; a table of pandas or polars; a sparse
                matrix; a memory map. Or what gives batches `(x, y)` or `(x, y, sample_weight)`: a
                generator, a `PyDataset`, a `tf.data.Dataset`, a PyTorch `DataLoader`, an iterable.
            y: Targets; not with what gives batches.
            batch_size: Samples in a step. Defaults to 32, for arrays with `steps_per_epoch` to what
                makes so many steps of them.
            epochs: Passes over the data (the number of the last one, with `initial_epoch`).
            verbose: 0 silent, 1 a progress bar, 2 a line an epoch, `"auto"`: 1.
            callbacks: List of callbacks.
            validation_split: Share of the samples, the last ones, that is not trained with.
            validation_data: `(x, y)` or `(x, y, sample_weight)` to validate with after each epoch.
            shuffle: Whether samples come in a new order in each epoch; with `initial_epoch` > 0, in
                the orders that the model's `fit` (or that of the model that was saved) would have
                gone on with. `"batch"`: only within
                batches.
            class_weight: Dict of class and weight in the loss.
            sample_weight: Weight of each sample in the loss.
            initial_epoch: The number of the first epoch.
            steps_per_epoch: Steps in an epoch; by default a pass over the data. The next epoch goes
                on where the last one ended; one that comes to the end of the data ends there, with
                a warning, and the next one begins a new pass.
            validation_steps: Steps of a validation.
            validation_batch_size: Samples in a step of a validation. Defaults to `batch_size`.
            validation_freq: Epochs between validations, or a list of the epochs with one.
            keep: `"best"`: the model ends with the weights of its best epoch, by `val_loss`, else
                by `loss`. Not in Keras.

        Returns:
            The `History`.

        Raises ValueError or TypeError if an argument is wrong; then nothing was trained.
        """
        from .advice import before_training

        self._check_compiled("fit")
        check_options(shuffle, keep, validation_freq, verbose)
        epochs, initial_epoch = (check_count(v, n, "fit", 0)
                                 for v, n in ((epochs, "epochs"), (initial_epoch, "initial_epoch")))
        if config.max_epochs() is not None:
            epochs = min(epochs, initial_epoch + config.max_epochs())
        batch_size, steps_per_epoch, validation_batch_size = (
            value if value is None else check_count(value, name, "fit")
            for value, name in ((batch_size, "batch_size"), (steps_per_epoch, "steps_per_epoch"),
                                (validation_batch_size, "validation_batch_size")))
        run, batches, validation = self._training_data(
            x, y, sample_weight, class_weight, batch_size, steps_per_epoch, shuffle,
            validation_split, validation_data, validation_batch_size or batch_size,
            validation_steps)
        opened = [batches] if validation is None else [batches, validation[1]]
        if initial_epoch and isinstance(batches, Batches):
            batches.follow(self._order, initial_epoch)
        try:
            self._prepare(run, batches.sizes())
            if validation is not None:
                self._prepare(validation[0], validation[1].sizes())
            before_training(self, run, validation)
            if not isinstance(callbacks, CallbackList):
                callbacks = CallbackList(callbacks, add_history=True, add_progbar=verbose != 0,
                                         verbose=verbose, epochs=epochs, steps=batches.steps,
                                         model=self)
            check_names(callbacks.callbacks, run, batches, validation)
            if keep == "best":
                self._keep_best(callbacks, "loss" if validation is None else "val_loss", epochs)
            return self._fit(run, batches, validation, callbacks, initial_epoch, epochs,
                             validation_freq)
        finally:
            for part in opened:
                part.close()

    def _keep_best(self, callbacks, monitor, epochs):
        """Adds what gives the model the weights of its best epoch at the end."""
        best = EarlyStopping(monitor, mode="min", patience=epochs + 1, restore_best_weights=True)
        best.set_params(callbacks.params)
        best.set_model(self)
        callbacks.append(best)

    def _training_data(self, x, y, sample_weight, class_weight, batch_size, steps, shuffle,
                       validation_split, validation_data, validation_batch, validation_steps):
        """The run and batches to train with, and those to validate with (or `None`)."""
        shares = validation_split and validation_data is None
        if open_source(x) is not None:
            if shares:
                raise ValueError("fit: `validation_split` needs arrays; pass `validation_data`. "
                                 f"Received: validation_split={validation_split!r} and `x` of "
                                 f"type {type(x).__name__}")
            run, batches = self._open("train", "fit", x, y, sample_weight, class_weight,
                                      batch_size, steps, "steps_per_epoch", shuffle)
        else:
            seed = make_default_seed() if shuffle else 0
            rule = batch_rule(batch_size, steps, "steps_per_epoch", "fit")
            rows = open_rows(x, y, sample_weight, rule, shuffle, seed, "fit", self._string_inputs())
            if rows is not None:
                if shares:
                    rows, rest = rows.split(validation_split, validation_batch or 32)
                    validation_data = rest
                run, batches = self._open_stream("train", "fit", rows, class_weight, steps,
                                                 "steps_per_epoch")
            else:
                data = self._standardized(x, y, sample_weight, class_weight)
                if shares:
                    data, validation_data = split(data, validation_split)
                    if class_weight is not None:    # they are for training alone
                        validation_data = Data(validation_data.x, validation_data.y)
                batch_size = rule(data.count)
                steps = limited(steps, -(-data.count // batch_size))
                batches = Batches(data.count, batch_size, shuffle, steps, seed)
                run = Run(self, "train", data)
        if validation_data is None:
            return run, batches, None
        if isinstance(validation_data, Rows):
            return run, batches, self._open_stream("test", "fit", validation_data, None,
                                                   validation_steps, "validation_steps")
        return run, batches, self._validation(validation_data, validation_batch, validation_steps)

    def _fit(self, run, batches, validation, callbacks, initial_epoch, epochs, validation_freq):
        """The epochs of `fit`."""
        from .watching import Watch

        self.stop_training = False
        position = Position(batches, callbacks, initial_epoch)
        callbacks.on_train_begin()
        logs, watch = None, Watch(self, run, batches)
        for epoch in range(position.epoch, epochs):
            if not batches.more():
                break
            self.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            watch.begin(epoch)
            self._run_epoch(run, batches, callbacks, position.begin())
            logs = run.logs()
            watch.end(logs)
            if validation is not None and not validation[1].more():
                validation = None
            if validation is not None and is_due(epoch, validation_freq):
                results = self._evaluate(*validation, callbacks)
                watch.validated(validation[0].data, results)
                logs.update({f"val_{name}": value for name, value in results.items()})
            if isinstance(batches, Batches):
                # Past `__setattr__`, after which nothing recorded stands.
                self.__dict__["_order"] = {"epoch": epoch + 1, **batches.where()}
            callbacks.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        if epochs > initial_epoch and self.optimizer is not None:
            self.optimizer.finalize_variable_values(self.trainable_weights)
        callbacks.on_train_end(logs=logs)
        return self.history

    def _run_epoch(self, run, batches, callbacks, step=0):
        """An epoch's batches from `step` on; between them Python only where callbacks want it."""
        kind = run.kind
        hooks, live = callbacks.needs_batch_hooks(kind), callbacks.needs_updates(kind)
        begin = callbacks.batch_caller(f"on_{kind}_batch_begin")
        end = callbacks.batch_caller(f"on_{kind}_batch_end")
        flag = {"train": "stop_training", "test": "stop_evaluating"}[kind]
        hooks = hooks or getattr(self, flag)        # asked for before it began: one batch, as Keras
        grouped = 0
        shown = time.monotonic()
        for rows, first, count in batches.epoch(step):
            while count:
                todo = min(count, self.steps_per_execution - grouped) if hooks else count
                if hooks and not grouped:
                    last = step + self.steps_per_execution - 1      # also of a shorter group
                    if begin:
                        begin(step)
                run.step = step
                done = run.run(rows, first, todo, batches.order,
                               _SECONDS if live and not hooks else 0.0)
                step += done
                batches.taken += done
                first += done * rows
                count -= done
                if hooks:
                    grouped = (grouped + done) % self.steps_per_execution
                    if end and not grouped:
                        end(last, run.logs())
                elif live and time.monotonic() - shown >= _SECONDS:
                    end(step - 1, run.logs())
                    shown = time.monotonic()
                if getattr(self, flag):
                    return
        if end and grouped:
            end(last, run.logs())
        elif live and not hooks and step:
            end(step - 1, run.logs())
        batches.ended(step)

    # ---- evaluate ----

    def evaluate(self, x=None, y=None, batch_size=None, verbose="auto", sample_weight=None,
                 steps=None, callbacks=None, return_dict=False):
        """Loss and metrics of the model on data.

        Args:
            x: Inputs.
            y: Targets.
            batch_size: Samples in a step. Defaults to 32; for arrays with `steps` to what makes so
                many steps of them.
            verbose: See `fit`.
            sample_weight: Weight of each sample in the loss.
            steps: Steps; by default all of the data.
            callbacks: List of callbacks.
            return_dict: Whether the result is a dict of names and values.

        Returns:
            The loss, or a list of the loss and the metrics, or a dict.
        """
        self._check_compiled("evaluate")
        check_verbose(verbose, "evaluate")
        if batch_size is not None:
            batch_size = check_count(batch_size, "batch_size", "evaluate")
        run, batches = self._open("test", "evaluate", x, y, sample_weight, None, batch_size, steps,
                                  "steps")
        try:
            self._prepare(run, batches.sizes())
            if not isinstance(callbacks, CallbackList):
                callbacks = CallbackList(callbacks, add_progbar=verbose != 0, verbose=verbose,
                                         epochs=1, steps=batches.steps, model=self)
            logs = self._evaluate(run, batches, callbacks)
        finally:
            batches.close()
        check_finite(run.data, logs, self, "evaluate")
        return dict(sorted(logs.items())) if return_dict else self._in_order(logs)

    def _evaluate(self, run, batches, callbacks):
        self.stop_evaluating = False
        callbacks.on_test_begin()
        self.reset_metrics()
        batches.restart()
        self._run_epoch(run, batches, callbacks)
        logs = run.logs()
        callbacks.on_test_end(logs)
        return logs

    # ---- predict ----

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """The model's outputs for inputs, as NumPy arrays.

        Args:
            x: Inputs.
            batch_size: Samples in a step; defaults as in `evaluate`. The numbers depend on it only
                where the samples of a batch depend on one another.
            verbose: See `fit`.
            steps: Steps; by default all of the data.
            callbacks: List of callbacks.
        """
        if verbose == 0 and callbacks is None and steps is None and type(x) is np.ndarray:
            stamp, attempts = self._fast
            for attempt in attempts if stamp == changes[0] else ():
                outputs = attempt(x)
                if outputs is not None:
                    return outputs
        check_verbose(verbose, "predict")
        if batch_size is not None:
            batch_size = check_count(batch_size, "batch_size", "predict")
        rule = batch_rule(batch_size, steps, "steps", "predict")
        strings = self._string_inputs()
        if not isinstance(x, np.ndarray) or strings:
            source = open_source(x) or open_rows(x, None, None, rule, False, 0, "predict",
                                                 strings)
            if source is not None:
                return self._predict_stream(source, steps, verbose, callbacks)
        data = self._standardized(x, who="predict")
        batch_size = rule(data.count)
        steps = capped(steps, -(-data.count // batch_size), "steps", "predict")
        if steps is not None and steps * batch_size < data.count:
            data = data.slice(0, steps * batch_size)
        total = -(-data.count // batch_size)
        if not isinstance(callbacks, CallbackList):
            if verbose == 0 and callbacks is None:
                return self._predict(Run(self, "predict", data), batch_size, None)
            callbacks = CallbackList(callbacks, add_progbar=verbose != 0, verbose=verbose, epochs=1,
                                     steps=total, model=self)
        return self._predict(Run(self, "predict", data), batch_size, callbacks)

    def _predict(self, run, batch_size, callbacks):
        """The outputs of all batches, or of other blocks where that is the same."""
        hooks = callbacks is not None and callbacks.needs_batch_hooks("predict")
        live = callbacks is not None and callbacks.needs_updates("predict")
        blocks = not hooks and self._rows_are_independent()
        segments = list(row_blocks(run.data.count)) if blocks else \
            list(Batches(run.data.count, batch_size).epoch())
        run.recorded(segments[0][0])
        if callbacks is not None:
            callbacks.on_predict_begin()
        self.stop_predicting = False
        outputs, groups = Outputs(run.data.count), Groups(callbacks, self.steps_per_execution)
        for rows, first, count in segments:
            while count and not self.stop_predicting:
                todo = min(count, groups.begin(first // batch_size)) if hooks else count
                done, made = self._predict_some(run, outputs, rows, first, todo,
                                                _SECONDS if live and not hooks else 0.0)
                first += done * rows
                count -= done
                if hooks:
                    groups.end(done, made)
                elif live:
                    callbacks.on_predict_batch_end(-(-first // batch_size) - 1, {"outputs": made})
        groups.close()
        if callbacks is not None:
            callbacks.on_predict_end()
        if blocks and len(segments) == 1 and segments[0][2] == 1:
            self._remember_fast(run)
        return outputs.result()

    def _predict_stream(self, source, steps, verbose, callbacks):
        """The outputs for all batches of a source."""
        run, batches = self._open_stream("predict", "predict", source, None, steps, "steps")
        try:
            run.recorded(run.data.count)
            if not isinstance(callbacks, CallbackList):
                callbacks = CallbackList(callbacks, add_progbar=verbose != 0, verbose=verbose,
                                         epochs=1, steps=batches.steps, model=self)
            callbacks.on_predict_begin()
            self.stop_predicting = False
            outputs, groups = Outputs(None), Groups(callbacks, self.steps_per_execution)
            for step, (rows, first, _) in enumerate(batches.epoch()):
                groups.begin(step)
                groups.end(*self._predict_some(run, outputs, rows, first, 1, 0.0))
                if self.stop_predicting:
                    break
            else:
                batches.ended(step + 1)
            groups.close()
            callbacks.on_predict_end()
            return outputs.result()
        finally:
            batches.close()

    def _predict_some(self, run, outputs, rows, first, steps, seconds):
        """Runs up to `steps` batches; how many, and what they gave."""
        recorded = run.recorded(rows)
        if recorded is None:
            run.run(rows, first, 1, None)
            return 1, outputs.add(first, run.last_logs, [_core.convert(leaf).numpy() for leaf in
                                                         tree.flatten(run.last_logs)])
        targets = outputs.targets(recorded, rows, first, steps)
        done = run.run(rows, first, steps, None, seconds, targets)
        made = [t[:done * len(t) // steps] for t in targets]
        return done, outputs.add(first, recorded.structure, made)

    def _remember_fast(self, run):
        """Notes the program for inputs of exactly this shape, for `predict`'s short way."""
        data = run.data
        recorded = run.recorded(data.count)
        if recorded is None or len(data.arrays) != 1 or tree.is_nest(data.x) \
                or tree.is_nest(recorded.structure):
            return
        stamp, attempts = self._fast
        attempt = recorded.program.attempt_array
        kept = [other for other in attempts if other != attempt] if stamp == changes[0] else []
        self.__dict__["_fast"] = (changes[0], (attempt, *kept[:_FAST - 1]))

    def _rows_are_independent(self):
        """Whether it is known that each row of the output depends on that row of the input only."""
        return type(self).predict_step is Trainer.predict_step and rows_are_independent(self)

    # ---- single batches ----

    def _one_batch(self, kind, who, x, y, sample_weight, class_weight, return_dict):
        self._check_compiled(who)
        if class_weight is not None and y is not None and sample_weight is None:
            sample_weight = class_weights(np.asarray(y), class_weight, who)
            class_weight = None
        data = self._standardized(x, y, sample_weight, class_weight, who)
        run = Run(self, kind, data)
        self._prepare(run, [data.count])
        self.reset_metrics()
        run.run(data.count, 0, 1, None)
        logs = run.logs()
        return dict(sorted(logs.items())) if return_dict else self._in_order(logs)

    def _make_function(self, kind):
        """What takes the next batch of an iterator through a step."""
        def function(iterator):
            x, y, sample_weight = unpack_x_y_sample_weight(next(iterator))
            if kind == "predict":
                return self.predict_on_batch(x)
            data = self._standardized(x, y, sample_weight, who=f"{kind}_function")
            run = Run(self, kind, data)
            self._prepare(run, [data.count])
            run.run(data.count, 0, 1, None)
            return run.logs()

        return function

    def make_train_function(self, force=False):
        """A function that trains with the next batch of an iterator and returns the logs.

        For loops of one's own: `fit` records its steps itself and does not call it. `force` is
        accepted for Keras's scripts: steps are recorded anew wherever that is needed.
        """
        self.train_function = self._make_function("train")
        return self.train_function

    def make_test_function(self, force=False):
        """The same for testing."""
        self.test_function = self._make_function("test")
        return self.test_function

    def make_predict_function(self, force=False):
        """The same for prediction: it returns the outputs."""
        self.predict_function = self._make_function("predict")
        return self.predict_function

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """One step of training on one batch.

        Args:
            x: Inputs.
            y: Targets.
            sample_weight: Weight of each sample in the loss.
            class_weight: Dict of class and weight in the loss.
            return_dict: Whether the result is a dict.

        Returns:
            Loss and metrics of this batch: see `evaluate`.
        """
        return self._one_batch("train", "train_on_batch", x, y, sample_weight, class_weight,
                               return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """Loss and metrics of one batch, as `train_on_batch` gives them."""
        return self._one_batch("test", "test_on_batch", x, y, sample_weight, None, return_dict)

    def predict_on_batch(self, x):
        """The outputs for one batch."""
        data = self._standardized(x, who="predict_on_batch")
        run = Run(self, "predict", data)
        outputs = Outputs(data.count)
        self._predict_some(run, outputs, data.count, 0, 1, 0.0)
        return outputs.result()
