"""The command `nnc predict`: a model's outputs for the rows of a file, block by block.

    nnc predict m.keras in.csv -o out.csv
    nnc predict m.keras in.npy -o out.npy --batch-size 256

Neither file is held in memory as a whole, and the output appears when it is complete. Values are
written with nine digits: those of a float32 come back exactly.
"""
import itertools
import json
import math
import os

import numpy as np

_ROWS = 4096        # rows of a block
EXAMPLES = """examples:
  nnc predict m.keras in.csv -o out.csv
  nnc predict m.keras in.npy -o out.npy --batch-size 256
  nnc predict m.keras in.csv -o out.npy --no-header

A CSV file holds one sample a line; a first line that is not numbers is a header. Samples of a shape
like (28, 28, 1) are the 784 numbers of a line, last axis fastest."""


def add_command(commands, raw):
    """Adds the command to a parser's subparsers; `raw` keeps the lines of the examples."""
    predict = commands.add_parser("predict", help="a model's outputs for the rows of a file",
                                  epilog=EXAMPLES, formatter_class=raw)
    predict.add_argument("model", help="a .keras or .h5 file")
    predict.add_argument("input", help="a .csv or .npy file")
    predict.add_argument("-o", "--output", required=True, help="the .csv or .npy file to write")
    predict.add_argument("--batch-size", type=int, default=32)
    predict.add_argument("--no-header", action="store_true",
                         help="the first line of the CSV file is a sample, whatever it holds")
    predict.add_argument("--json", action="store_true", help="say as JSON what was written")


def run(options):
    """Writes the outputs; returns the exit status. Raises ValueError or OSError."""
    from .saving import load_model
    from .utils.file import atomic_write

    for name in (options.input, options.output):
        if not name.endswith((".csv", ".npy")):
            raise ValueError(f"a file's name must end in .csv or .npy. Received: {name}")
    if options.batch_size < 1:
        raise ValueError(f"--batch-size must be >= 1. Received: {options.batch_size}")
    model = load_model(options.model, compile=False)
    shape = _input_shape(model, options.model)
    header, blocks = _npy(options.input) if options.input.endswith(".npy") else \
        _csv(options.input, options.no_header)
    blocks = (_as_inputs(block, shape, options.input) for block in blocks)
    folder = os.path.dirname(os.path.realpath(options.output))
    if not os.path.isdir(folder):
        raise ValueError(f"{options.output}: there is no folder {folder}")
    with atomic_write(options.output, "w+b") as f:
        write = _write_npy if options.output.endswith(".npy") else _write_csv
        count, made = write(f, (_outputs(model, x, options) for x in blocks), header)
        if not count:
            raise ValueError(f"{options.input} holds no sample")
    if options.json:
        print(json.dumps({"output": options.output, "rows": count, "shape": list(made)}))
    else:
        print(f"{options.output}: {count} rows of shape {made}")
    return 0


def _input_shape(model, path):
    """The shape of a sample, unknown sizes as `None`."""
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or any(isinstance(n, (tuple, list)) for n in shape):
        raise ValueError(f"{path}: the model must have one input of a known rank to be fed from a "
                         f"file. Received: input_shape={shape}")
    return shape[1:]


def _outputs(model, x, options):
    y = model.predict(x, batch_size=options.batch_size, verbose=0)
    if not isinstance(y, np.ndarray):
        raise ValueError(f"{options.model}: the model has several outputs, a file takes one. "
                         f"Received: {type(y).__name__} of {len(y)}")
    return y.astype("float32") if y.dtype.kind == "V" else y        # bfloat16: no file's dtype


def _as_inputs(block, shape, path):
    """Rows in the model's shape: as they are, or their numbers in that shape."""
    if len(block.shape) == len(shape) + 1 and all(
            want in (None, have) for want, have in zip(shape, block.shape[1:])):
        return block
    count, known = math.prod(block.shape[1:]), None not in shape
    if not known or count != math.prod(shape):
        wanted = f"{math.prod(shape)} numbers" if known else f"shape {shape}"
        raise ValueError(f"{path}: a row has {count} numbers, the model takes {wanted} "
                         f"(input_shape={(None, *shape)})")
    return block.reshape(len(block), *shape)


# ---- reading -------------------------------------------------------------------------------------

def _npy(path):
    """`None` (no header) and the blocks of an array, mapped and not read."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{path} is no array of numbers in the .npy format: {error}") from error
    if array.ndim < 1 or array.dtype.kind not in "fiub":
        raise ValueError(f"{path} must hold rows of numbers. Received: an array of shape "
                         f"{array.shape} and dtype {array.dtype}")
    array = array[:, None] if array.ndim == 1 else array
    return None, (array[i:i + _ROWS] for i in range(0, len(array), _ROWS))


def _csv(path, no_header):
    """The names of the columns, or `None`, and the blocks of rows."""
    import csv

    with open(path, encoding="utf-8-sig", newline="") as f:
        first = next((line for line in f if line.strip()), "")
    fields = next(csv.reader([first]), [])
    header = None if no_header or all(map(_is_number, fields)) else fields
    return header, _csv_blocks(path, header is not None, len(fields))


def _csv_blocks(path, skip, columns):
    with open(path, encoding="utf-8-sig", newline="") as f:
        lines = ((number, line) for number, line in enumerate(f, 1) if line.strip())
        if skip:
            next(lines)
        while block := list(itertools.islice(lines, _ROWS)):
            text = [line for _, line in block]
            try:
                rows = np.loadtxt(text, delimiter=",", ndmin=2, quotechar='"', comments=None)
            except ValueError:
                rows = None
            if rows is None or rows.shape[1] != columns:
                _refuse(path, block, columns)
            yield rows


def _refuse(path, block, columns):
    """Says which line and column of a block is at fault."""
    import csv

    for number, line in block:
        fields = next(csv.reader([line]))
        if len(fields) != columns:
            raise ValueError(f"{path}: line {number} has {len(fields)} columns, the first one has "
                             f"{columns}")
        for place, field in enumerate(fields, 1):
            if not _is_number(field):
                raise ValueError(f"{path}: line {number}, column {place} is not a number. "
                                 f"Received: {field!r}")
    raise ValueError(f"{path}: lines {block[0][0]} to {block[-1][0]} cannot be read as numbers")


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text                          # Python's 1_000 is no number of a CSV file


# ---- writing: how many rows, and the shape of one ------------------------------------------------

def _write_csv(f, blocks, header):
    count, shape = 0, ()
    for y in blocks:
        flat = y.reshape(len(y), -1)
        if not count and header is not None:
            names = ["output"] if flat.shape[1] == 1 else [f"output_{i}"
                                                           for i in range(flat.shape[1])]
            f.write((",".join(names) + "\n").encode())
        digits = "%.17g" if flat.dtype == "float64" else "%d" if flat.dtype.kind in "iub" \
            else "%.9g"
        np.savetxt(f, flat, fmt=digits, delimiter=",")
        count, shape = count + len(y), y.shape[1:]
    return count, shape


def _write_npy(f, blocks, header):
    """The header is written again at the end, when the number of rows is known: the format leaves
    room in it."""
    count, shape, start, dtype = 0, (), 0, None
    for y in blocks:
        y = np.ascontiguousarray(y)
        if not count:
            shape, dtype = y.shape[1:], y.dtype
            start = _npy_header(f, 0, shape, dtype)
        elif y.shape[1:] != shape:
            raise ValueError(f"rows of the output differ in shape: {shape} and {y.shape[1:]}")
        f.write(y.data)
        count += len(y)
    if count and _npy_header(f, count, shape, dtype) != start:
        raise OSError("this version of NumPy leaves no room for the number of rows in .npy files; "
                      "write a .csv file")
    return count, shape


def _npy_header(f, count, shape, dtype):
    """Writes the header at the beginning; returns where it ends."""
    f.seek(0)
    np.lib.format.write_array_header_1_0(f, {
        "descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False,
        "shape": (count, *shape)})
    return f.tell()
