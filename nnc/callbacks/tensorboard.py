"""Event files for TensorBoard, written by tensorboardX."""
import os
import re

from nnc.callbacks.callback import Callback
from nnc.utils.file import check_folder


class TensorBoard(Callback):
    """Writes scalars, the model's graph, and histograms and images of weights that TensorBoard shows.

    Args:
        log_dir: Folder; `train` and `validation` are made in it.
        histogram_freq: Epochs between two histograms of each weight; `0`: none.
        write_graph: Whether the graph of the model's layers is written.
        write_images: Whether weights of up to three axes (of sizes above 1) are written as images,
            too, as often as histograms: from their least value, black, to their largest.
        write_steps_per_second: Whether the speed is written.
        update_freq: `"epoch"`, `"batch"`, or a number of batches between two scalars.
        profile_batch: `0`: what TensorBoard reads profiles from is TensorFlow's own. `nnc.profile`
            shows what each op takes, and writes Chrome traces.
        embeddings_freq: Epochs between two copies of the table of each `Embedding` layer, as text
            for TensorBoard's projector; `0`: none.
        embeddings_metadata: Name of a file with a line for each row of the tables, or a dict of
            layers' names and such files; relative to `log_dir`. The files are the user's.

    Needs tensorboardX, which is looked for when the callback is made.
    """

    def __init__(self, log_dir="logs", histogram_freq=0, write_graph=True, write_images=False,
                 write_steps_per_second=False, update_freq="epoch", profile_batch=0,
                 embeddings_freq=0, embeddings_metadata=None):
        super().__init__()
        if profile_batch:
            raise NotImplementedError(
                "TensorBoard: `profile_batch` is not supported: what TensorBoard reads profiles "
                "from is TensorFlow's own. Use `nnc.profile(model, x, y)`, which can write a "
                f"Chrome trace. Received: profile_batch={profile_batch!r}")
        if embeddings_metadata and not embeddings_freq:
            raise ValueError("TensorBoard: `embeddings_metadata` needs `embeddings_freq` > 0. "
                             f"Received: embeddings_freq={embeddings_freq!r}")
        if update_freq not in ("epoch", "batch") and (
                isinstance(update_freq, bool) or not isinstance(update_freq, int)
                or update_freq < 1):
            raise ValueError("TensorBoard: `update_freq` must be 'epoch', 'batch' or an integer "
                             f">= 1. Received: update_freq={update_freq!r}")
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError("TensorBoard needs tensorboardX: pip install tensorboardX") \
                from error
        self._make = SummaryWriter
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq, self.write_graph = histogram_freq, write_graph
        self.write_images = write_images
        self.embeddings_freq, self.embeddings_metadata = embeddings_freq, embeddings_metadata
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self._writers, self._step, self._tests, self._begun = {}, 0, 0, None

    def needs_batches(self):
        """Whether the loop must return here after each batch."""
        return self.update_freq != "epoch" or self.write_steps_per_second

    def _scalars(self, part, values, step):
        if part not in self._writers:
            self._writers[part] = self._make(os.path.join(self.log_dir, part))
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._writers[part].add_scalar(name, value, step)

    def on_train_begin(self, logs=None):
        check_folder(self.log_dir, "TensorBoard")
        self._step, self._graph_due = 0, self.write_graph
        self._tables = Tables(self.model, self.log_dir, self.embeddings_metadata) \
            if self.embeddings_freq else None
        self._graph()

    def _graph(self):
        """Writes the graph, once; a model that runs eagerly is built by its first batch only."""
        if self._graph_due and self.model.built:
            self._graph_due = False
            self._scalars("train", {}, 0)
            self._writers["train"]._get_file_writer().add_onnx_graph(graph_of(self.model))

    def on_epoch_begin(self, epoch, logs=None):
        import time

        self._begun = time.monotonic(), self._step

    def on_train_batch_end(self, batch, logs=None):
        self._step += 1
        if self.update_freq != "epoch" and self._step % self.update_freq == 0:
            self._scalars("train", {f"batch_{k}": v for k, v in (logs or {}).items()}, self._step)

    def on_epoch_end(self, epoch, logs=None):
        import time

        self._graph()
        logs = logs or {}
        train = {k: v for k, v in logs.items() if not k.startswith("val_")}
        rate = getattr(self.model.optimizer, "learning_rate", None)
        if rate is not None:
            train["learning_rate"] = float(rate)
        self._scalars("train", {f"epoch_{k}": v for k, v in train.items()}, epoch)
        held = {k[4:]: v for k, v in logs.items() if k.startswith("val_")}
        if held:
            self._scalars("validation", {f"epoch_{k}": v for k, v in held.items()}, epoch)
        if self.write_steps_per_second:
            begun, steps = self._begun
            speed = (self._step - steps) / max(time.monotonic() - begun, 1e-9)
            self._scalars("train", {"epoch_steps_per_second": speed}, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._weights(self._writers["train"], epoch)
        if self._tables is not None and epoch % self.embeddings_freq == 0:
            self._tables.write(epoch)
        for writer in self._writers.values():
            writer.flush()

    def _weights(self, writer, epoch):
        for weight in self.model.weights:
            name, value = getattr(weight, "path", weight.name), weight.numpy()
            writer.add_histogram(name, value.astype("float32"), epoch)
            images = weight_images(value) if self.write_images else None
            if images is not None:
                writer.add_images(name, images, epoch, dataformats="NHWC")

    def on_train_end(self, logs=None):
        for writer in self._writers.values():
            writer.close()
        self._writers = {}


class Tables:
    """The tables of a model's `Embedding` layers as files that TensorBoard's projector reads: one
    of numbers with tabs between them each time, and `projector_config.pbtxt`, which names them all.

    Args:
        model: The model.
        folder: Where the configuration lies.
        metadata: A file's name for all tables, a dict of layers' names and files, or `None`.

    Raises:
        ValueError: If there is no such layer.
    """

    def __init__(self, model, folder, metadata=None):
        from nnc.layers import Embedding

        self._folder, self._entries = folder, []
        self._layers = [layer for layer in model._flatten_layers() if isinstance(layer, Embedding)]
        names = [layer.name for layer in self._layers]
        if not names:
            raise ValueError(f"TensorBoard: `embeddings_freq` needs a model with an `Embedding` "
                             f"layer. Received: model '{model.name}' without one")
        if not isinstance(metadata, dict):
            metadata = dict.fromkeys(names, metadata)
        unknown = sorted(set(metadata) - set(names))
        if unknown:
            raise ValueError("TensorBoard: `embeddings_metadata` names layers that are no "
                             f"`Embedding` layers of the model: {unknown}. Known: {names}")
        self._metadata = metadata

    def write(self, epoch):
        """Writes each table, and the configuration anew."""
        import json

        import numpy as np

        from nnc.utils.file import atomic_write

        os.makedirs(os.path.join(self._folder, "train"), exist_ok=True)
        for layer in self._layers:
            path = f"train/{re.sub('[^A-Za-z0-9_.-]', '_', layer.name)}-{epoch}.tsv"
            with atomic_write(os.path.join(self._folder, path), "w", encoding="ascii") as f:
                np.savetxt(f, layer.embeddings.numpy().astype("float32"), "%.9g", "\t")
            entry = {"tensor_name": f"{layer.name} (epoch {epoch})", "tensor_path": path}
            if self._metadata.get(layer.name):
                entry["metadata_path"] = os.fspath(self._metadata[layer.name])
            self._entries.append(entry)
        lines = ["embeddings {\n" + "".join(f"  {key}: {json.dumps(value, ensure_ascii=False)}\n"
                                            for key, value in entry.items()) + "}\n"
                 for entry in self._entries]
        with atomic_write(os.path.join(self._folder, "projector_config.pbtxt"), "w",
                          encoding="utf-8") as f:
            f.write("".join(lines))


def graph_of(model):
    """A GraphDef, TensorBoard's form of a graph, with a node for each layer: models in the model are
    groups of theirs.

    Returns:
        The message; it takes any model that is built (see utils/model_graph.py).
    """
    from tensorboardX.proto.attr_value_pb2 import AttrValue
    from tensorboardX.proto.graph_pb2 import GraphDef
    from tensorboardX.proto.node_def_pb2 import NodeDef
    from tensorboardX.proto.versions_pb2 import VersionDef

    from nnc.utils.model_graph import diagram_of

    nodes = []

    def add(diagram, prefix, entries):
        """Appends the nodes of a diagram; returns the names of those that make its outputs."""
        sources = [[] for _ in diagram.boxes]
        for box, names in zip(diagram.entries, entries):
            sources[box] += names
        made = []
        for i, box in enumerate(diagram.boxes):
            inputs = sources[i] + [name for a, b in diagram.pairs() if b == i and a < len(made)
                                   for name in made[a]]
            name = f"{prefix}{box.name}".replace(" ", "_")
            if box.inner is not None:
                made.append(add(box.inner, f"{name}/", [inputs]))
                continue
            attributes = {"shape": AttrValue(s=str(box.outputs).encode())} if box.outputs else {}
            nodes.append(NodeDef(name=name, op=box.kind, input=inputs, attr=attributes))
            made.append([name])
        return [name for box in diagram.exits for name in made[box]]

    diagram = diagram_of(model, expand=True)
    add(diagram, "", [[] for _ in diagram.entries])
    return GraphDef(node=nodes, versions=VersionDef(producer=22))


def weight_images(value):
    """A weight as images (images, height, width, 1) of numbers from 0 to 1; `None` if it has more
    than three axes of sizes above 1. A kernel of a convolution is an image for each last index.
    """
    value = value.astype("float32").squeeze()
    if not 1 <= value.ndim <= 3:
        return None
    if value.ndim == 1:
        value = value[None, :, None]
    elif value.ndim == 2:
        value = (value.T if value.shape[0] > value.shape[1] else value)[None]
    else:
        value = value.transpose(2, 0, 1)
    low, high = value.min(), value.max()
    return (value - low)[..., None] / (high - low if high > low else 1)
