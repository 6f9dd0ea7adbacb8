"""A child process that reads one file again and again, damaged each time in another way.

    python damage.py KIND SOURCE COUNT SEED
    python damage.py all FOLDER TIMES SEED      every kind, TIMES as often as the tests have it

Prints how many were refused and by how many MB memory grew. Ends with an error for anything but
`ValueError`, `TypeError` and `NotImplementedError`, and for a file that took longer than 3 s. The
file's bytes are cut into COUNT regions, so that none is left out; each is damaged in a way drawn by
lot. JSON is damaged as text and as a structure: keys dropped, values replaced by others.
"""
import json
import os
import random
import resource
import shutil
import sys
import time
import warnings

warnings.simplefilter("ignore")
import nnc                                                                      # noqa: E402
from nnc import layers, saving                                                  # noqa: E402

WEIGHTS = ("weights.h5", "npz", "safetensors", "weights.json")
#: Kind of file -> how often it is damaged, and the share that is refused at least; what is not lies
#: in values without a checksum, or says nothing that matters (names, dates, settings that are as
#: good as others).
KINDS = {"keras": (120, 0.75), "h5": (50, 0.4), "weights.h5": (50, 0.4), "npz": (200, 0.75),
         "safetensors": (250, 0.5), "json": (150, 0.3), "weights.json": (50, 0.4),
         "onnx": (150, 0.3)}
MOST_MEMORY = 300       # MB that memory may grow by: no damaged size was believed


def model():
    """Several layers, a branch, an optimizer with slots, metrics, a random generator."""
    ids = nnc.Input((4,), dtype="int32", name="ids")
    image = nnc.Input((4, 4, 1), name="image")
    x = layers.Flatten()(layers.Embedding(5, 3, mask_zero=True, name="table")(ids))
    y = layers.BatchNormalization(name="norm")(layers.Conv2D(2, 3, name="conv")(image))
    x = layers.Concatenate()([x, layers.GlobalAveragePooling2D()(y)])
    x = layers.Dropout(0.5, seed=1)(layers.Dense(3, "relu", kernel_regularizer="l2", name="hidden")(x))
    made = nnc.Model([ids, image], layers.Dense(2, "softmax", name="head")(x), name="m")
    made.compile(nnc.optimizers.Adam(nnc.optimizers.schedules.ExponentialDecay(0.1, 9, 0.9)),
                 loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    made.optimizer.build(made.trainable_variables)
    return made


def write(made, kind, path):
    if kind == "json":
        with open(path, "w") as f:
            f.write(made.to_json())
    elif kind in WEIGHTS:
        made.save_weights(path, **({"max_shard_size": 1e-6} if kind == "weights.json" else {}))
    elif kind == "onnx":
        made.export(path, format="onnx", verbose=False)
    else:
        made.save(path)


def reader(kind, path):
    target = model() if kind in WEIGHTS else None
    if kind == "json":
        def read():
            with open(path, errors="surrogateescape") as f:
                nnc.models.model_from_json(f.read())
        return read
    if kind == "onnx":
        return lambda: nnc.models.load_onnx(path)
    return lambda: target.load_weights(path) if kind in WEIGHTS else saving.load_model(path)


STRANGE = [None, True, -1, 0, 1 << 40, 1e308, "", "x" * 1000, [], {}, [[]], ["a"], "keras", "Dense",
           {"class_name": "Dense", "config": {}}, {"class_name": "function", "config": "print"}, -1.5,
           float("nan"), [1, 2, 3], "__lambda__", {"class_name": "__lambda__", "config": {}}]


def damage_structure(value, draw):
    """Replaces, drops or doubles one part somewhere in a JSON value, in place."""
    places, rest = [], [value]
    while rest:
        part = rest.pop()
        keys = list(part) if isinstance(part, dict) else range(len(part))
        places += [(part, key) for key in keys]
        rest += [part[key] for key in keys if isinstance(part[key], (dict, list))]
    part, key = draw.choice(places)
    how = draw.randrange(4)
    if how == 0:
        del part[key]
    elif how == 1 and len(places) > 1:
        other, at = draw.choice(places)
        part[key] = json.loads(json.dumps(other[at])) if at in other or isinstance(other, list) \
            and at < len(other) else None
    else:
        part[key] = draw.choice(STRANGE)


def damage_bytes(data, begin, end, draw):
    """Damages the bytes begin..end-1 (and what follows, where some are cut out or put in)."""
    bad, at = bytearray(data), draw.randrange(begin, max(begin + 1, end))
    how = draw.randrange(7)
    if how == 0:
        del bad[at:]
    elif how == 1:
        del bad[begin:end]
    elif how == 2:
        bad[at:at] = draw.randbytes(draw.choice((1, 8, 512)))
    elif how == 3:
        bad[begin:end] = b"\0" * (end - begin)
    elif how == 4:
        bad[begin:end] = draw.randbytes(end - begin)
    elif how == 5:
        size = draw.choice((2, 4, 8))
        bad[at:at + size] = draw.choice(((1 << 8 * size) - 1, 1 << (8 * size - 1), 0, 1)).to_bytes(
            size, "little")
        del bad[max(len(data), at):]
    else:
        bad[at] ^= 1 << draw.randrange(8)
    return bytes(bad)


def main(kind, source, count, seed):
    draw, refused = random.Random(seed), 0
    folder, path = os.path.dirname(source), source + ".bad." + kind
    with open(source, "rb") as f:
        data = f.read()
    shutil.copy(source, path)
    read = reader(kind, path)
    read()                                          # what is whole is read
    shards = sorted(name for name in os.listdir(folder) if ".weights.h5" in name) \
        if kind == "weights.json" else []
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for i in range(count):
        begin, end = len(data) * i // count, max(len(data) * (i + 1) // count, 1)
        bad = damage_bytes(data, begin, end, draw)
        if kind.endswith("json") and draw.random() < 0.7:
            value = json.loads(data)
            damage_structure(value, draw)
            bad = json.dumps(value).encode()
        with open(path, "wb") as f:
            f.write(bad)
        whole, hurt = None, None
        if shards and draw.random() < 0.5:          # the map is whole, a shard is not
            shutil.copy(source, path)
            hurt = os.path.join(folder, draw.choice(shards))
            with open(hurt, "rb") as f:
                whole = f.read()
            with open(hurt, "wb") as f:
                f.write(damage_bytes(whole, len(whole) * i // count, len(whole) * (i + 1) // count,
                                     draw))
        start = time.process_time()
        try:
            read()
        except (ValueError, TypeError, NotImplementedError):
            refused += 1
        except BaseException as error:
            shutil.copy(path, source + ".found." + kind)
            import traceback
            traceback.print_exc()
            sys.exit(f"{kind} {seed} {i}: {type(error).__name__}: {error}")
        if time.process_time() - start > 3:
            shutil.copy(path, source + ".found." + kind)
            sys.exit(f"{kind} {seed} {i}: took {time.process_time() - start:.1f} s")
        if hurt is not None:
            with open(hurt, "wb") as f:
                f.write(whole)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) >> 10
    print(refused, grown)
    return refused, grown


def all_kinds(folder, times, seed):
    print(f"the extension: {nnc._core.__file__}")
    for kind, (count, least) in KINDS.items():
        path = os.path.join(folder, f"m.{kind}")
        write(model(), kind, path)
        start = time.perf_counter()
        print(f"{kind}, {count * times}:", end=" ", flush=True)
        refused, grown = main(kind, path, count * times, seed)
        print(f"in {time.perf_counter() - start:.1f} s")
        if refused < least * count * times or grown > MOST_MEMORY:
            sys.exit(f"{kind}: {refused} were refused, memory grew by {grown} MB")


if __name__ == "__main__":
    if sys.argv[1] == "all":
        all_kinds(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
