"""Types of the extension `nnc._core`: the C core as Python sees it.

Ops are `op.<name>(*inputs, *attributes)`, one for each row of the op table, attributes in the row's order
(lists as tuples of integers, dtypes as strings, `activation` as an op's name or None). Attributes at the
end may be left out (0, an empty list, no activation), but for dtypes and shapes, and for ops with any
number of inputs. Ops that write (`assign`, optimizers) need Variables there and return None; ops with more
outputs return a tuple. An input is a Tensor, a Variable, a NumPy array or anything `numpy.asarray` takes,
or a Python scalar, which is weak: it takes the dtype of the other operands (a float beside whole numbers
gives float32; an int that does not fit is an OverflowError). Operands of two-operand element-wise ops,
comparisons, `where`, `matmul`, `dense` and `concatenate` are promoted with Keras's lattice; what is
assigned takes the variable's dtype. A contiguous array of the user's is read in place during the call; what
outlives the call (views, recordings, constants of a trace) gets a copy.

An op runs now, and is recorded by active tapes, unless a trace is on in this thread and one of its inputs is
symbolic or a Variable: then it is appended to the trace and the result is symbolic.
"""
from typing import Any, Callable, Sequence

__version__: str
op_names: tuple[str, ...]
#: name -> (inputs, outputs, attrs): the op table.
op_table: dict[str, tuple[int, int, str]]
#: Element-wise ops and comparisons -> what they compute of x, or of a and b, as C text over `v_` functions.
op_formulas: dict[str, str]

class TraceError(TypeError):
    """A traced value was asked for its number (`bool(t)`, `float(t)`, `t.numpy()`, `np.asarray(t)`)."""

class InvalidIndex(IndexError, ValueError):
    """An id, a label or a row that is out of range."""

class Tensor:
    """An immutable array, or a symbolic value of a trace. Has a `__dict__` and weak references.

    `Tensor(array_like, dtype=None)` shares the memory of a C-contiguous NumPy array of the right dtype
    (kept alive), else copies. Python floats are float32, integers int32 (int64 if they need it), as in Keras;
    so are nested lists that hold nothing but Python's numbers. Cannot be subclassed.
    Operators (+ - * / // % divmod ** @ << >> abs neg round, comparisons, & | ^ ~) are ops; `t[...]` takes integers, slices,
    None, Ellipsis, masks (eager) and integer arrays or tensors side by side; iteration goes over axis 0. `==` is
    element-wise; hash is by identity. `array + tensor` is a Tensor, `numpy.add(array, tensor)` an array.
    """
    def __init__(self, value: Any, dtype: str | None = None) -> None: ...
    shape: tuple[int, ...]
    dtype: str
    ndim: int
    size: int
    T: "Tensor"
    symbolic: bool
    def numpy(self) -> Any: ...                     # read-only, no copy
    def item(self) -> Any: ...
    def __array__(self, dtype=None, copy=None) -> Any: ...
    def __dlpack__(self, **kw) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    # buffer protocol, __len__, __bool__, __int__, __float__, __index__, __repr__, __format__, __reduce__

class Variable:
    """Storage that ops read and effects change in place. Subclassed by nnc.Variable; has a `__dict__`.

    Operators as on Tensor. In a trace, `assign` and ops on it are recorded, and its numbers cannot be asked for
    (TraceError). `__init__` copies the value, or takes a `given` Tensor that nobody uses on. Pickles and copies call no derived class's `__init__`.
    """
    autocast: bool                                  # whether it is read as set_autocast says; True at first
    trainable: bool                                 # whether tapes watch it when it is read; True at first
    def __init__(self, value: Any, dtype: str | None = None, given: bool = False) -> None: ...
    shape: tuple[int, ...]
    dtype: str
    ndim: int
    size: int
    value: Tensor                                   # eager: a snapshot (copy); in a trace: symbolic
    def numpy(self) -> Any: ...                     # a copy
    def _view(self) -> Any: ...                     # read-only, no copy; until the variable is written next
    def assign(self, value: Any) -> None: ...       # shape must match; dtype is converted
    def assign_add(self, value: Any) -> None: ...
    def assign_sub(self, value: Any) -> None: ...

class Graph:
    """A trace: `with graph:` makes it the current one of this thread.

    With `outer` it is a body of a branch or a loop of that trace, and may read tensors of the traces around it.
    """
    def __init__(self, outer: "Graph | None" = None) -> None: ...
    def input(self, shape: Sequence[int], dtype: str) -> Tensor: ...
    def gradients(self, targets: Sequence[Tensor], sources: Sequence[Tensor | Variable],
                  seeds: Sequence[Tensor | None] | None = None) -> list[Tensor | None]: ...
    def nodes(self) -> list[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]]:
        """What is recorded: op, numbers of the values in and out, attributes by name."""
    def values(self) -> list[tuple[str, tuple[int, ...], str]]:
        """Kind ("computed", "input", "constant", "variable"), shape and dtype of each value."""
    def find(self, thing: Tensor | Variable) -> int: ...    # the number of its value, or -1
    def held(self, value: int) -> Tensor: ...               # a copy of a constant or a variable
    label: int                       # carried by nodes recorded from now on (0 at first); by their gradients too
    node_count: int                                 # ops recorded so far
    python_rules: bool                              # whether Python makes the gradient of an op in it
    def variables(self, first: int = 0) -> list[Variable]: ...  # read from node `first` on
    def begin_segment(self) -> bool:
        """Programs compute what is recorded until `end_segment` again where gradients read it, instead of
        keeping it. False: a segment is open already."""
    def end_segment(self, tensors: Sequence[Tensor] | None) -> None:
        """tensors: what it gives, which is kept; None: nothing is computed again after all."""
    def __enter__(self) -> "Graph": ...
    def __exit__(self, *exc) -> None: ...

def current_graph() -> Graph | None: ...
class no_trace:
    """A context in which no trace is on: ops run now (symbolic inputs are refused)."""
    def __enter__(self) -> "no_trace": ...
    def __exit__(self, *exc) -> None: ...

class Tape:
    """Records eager ops: `push()` and `pop()` switch recording on and off in this thread."""
    def __init__(self) -> None: ...
    def push(self) -> None: ...
    def pop(self) -> None: ...
    def watch(self, tensor: Tensor | Variable) -> None: ...
    watch_variables: bool            # True: every trainable Variable (attribute `trainable`) read is watched
    def gradients(self, targets: Sequence[Tensor], sources: Sequence[Tensor | Variable],
                  seeds: Sequence[Tensor | None] | None = None) -> list[Tensor | None]: ...
    def clear(self) -> None: ...
    watched: tuple[Variable, ...]    # Variables

class Program:
    """A trace made ready to run: `Program(graph, outputs)`. Keeps its variables alive. It runs in the
    memory of the program `beside`, if there is one: replays exclude one another. excess: where the
    processor has no products of bfloat16, such values inside may keep the precision of float32, in
    which they are computed; without it they are rounded as by the ops one by one."""
    def __init__(self, graph: Graph, outputs: Sequence[Tensor], beside: Program | None = None,
                 excess: bool = False) -> None: ...
    def __call__(self, *inputs: Any) -> list[Tensor]:
        """One replay; each input must have the program's shape (dtype is converted)."""
    def replay(self, sources: Sequence[Any], order: Any | None, first: int, steps: int,
               targets: Sequence[Any | None] | None = None, seconds: float = 0.0, guard: int = -1) -> int:
        """Up to `steps` replays on batches of rows: step s takes rows order[first + s*batch :][:batch] of
        each source (a NumPy array whose rows have the input's shape; any numeric dtype; rows may be
        strided, a row itself must be contiguous), or rows first + s*batch ... where order is None. The
        source of an input of shape () is a number, fed whole. targets[k]: a C-contiguous array of the
        output's dtype that receives output k of each step one after another (row-wise concatenated), or
        None. Returns the steps done: fewer than `steps` only if `seconds` > 0 ran out. Raises
        KeyboardInterrupt (or what the signal handler raises) within 0.1 s. guard: the number of an output, a
        floating-point number: a step in which it is NaN or Inf is given up before it changes a variable,
        and -1 - (steps done before it) is returned. Where variables are written before that output is
        known, nothing is guarded."""
    def watch(self, sources: Sequence[Any], order: Any | None, first: int, threads: int = 0, check: bool = False,
              effects: bool = True) -> list[tuple[float, float, bool]]:
        """One step as `replay` makes it, node by node: (begin, end, whether it made NaN or Inf) of each,
        in seconds; the last only if `check`. effects=False ends it before a variable changes."""
    def nodes(self) -> list[tuple]:
        """The schedule: (op, activation within a dense, label, whether it is of a gradient, inputs, outputs,
        how many leading inputs it writes, makers of the inputs, estimated ns on one thread) of each
        node; inputs and outputs as (shape, dtype). A maker is a node's number; -1 a variable, -2 a
        constant, -3 what is fed."""
    def makers(self) -> list[int]: ...              # the same for each output
    def attempt(self, x: Any) -> Tensor | tuple[Tensor, ...] | None:
        """The output (of 2 to 8 a tuple) for x, an array or a Tensor of just the shape and dtype of the
        only input (of 2 to 8 a list or tuple of them); None if x is anything else, or if a tape or a
        trace is on in this thread."""
    input_signature: list[tuple[tuple[int, ...], str]]
    output_signature: list[tuple[tuple[int, ...], str]]
    def attempt_logits(self, x: Any) -> Tensor | None:
        """The same of two outputs: the first, with the second as its `_keras_logits`."""
    def attempt_array(self, x: Any) -> Any:
        """The same of one output, as a NumPy array; an input of floats may be an array of other floats."""
    def stats(self) -> dict[str, int]: ...
    def text(self) -> str: ...

class op:
    """Namespace: one function a row of the op table."""

def convert(value: Any, dtype: str | None = None, given: bool = False) -> Tensor:
    """Tensor(value, dtype), but a Tensor (or the value of a Variable) passes through unchanged if the dtype fits.
    An array that is given is not copied: nobody writes to it while the Tensor, or a view of it, lives."""
def is_lent(x: Any) -> bool:
    """Whether it is a Tensor in memory that is not the core's own."""
def tape_active() -> bool: ...                          # in this thread
def result_dtype(*values: Any) -> str: ...
def permutation(n: int, seed: int, stream: int, step: int) -> Any: ...   # int64 NumPy array
def check_labels(labels: Any, classes: int) -> tuple[int, int | float] | None:
    """The first (row, label) that is none of 0..classes-1 in an integer or float array, or None."""
def peak_rate(dtype: str = "float32", seconds: float = 0.05) -> float:
    """Multiply-adds a second of all threads together, two operations each: measured, for so long."""
def barrier_time() -> float:
    """Seconds that all threads need to wait for one another, measured; 0.0 on one thread."""
def read_file(file: int, offset: int, size: int, into: Variable | None = None, check: bool = True) -> int | None:
    """Reads bytes of an open file straight into a Variable's storage, which must be as large (None: only
    for the checksum), by all threads; their CRC-32, or None without `check`. ValueError if the file
    ends before or cannot be read: then the variable's values are undefined."""
def crc32(data: Any, value: int = 0) -> int: ...
def crc32_join(first: int, second: int, length: int) -> int: ...
def zeros(shape: Sequence[int], dtype: str) -> Tensor: ...      # memory comes when it is touched
def first_nonfinite(rows: Any) -> tuple[int, int] | None:
    """(row, column of the flattened row) of the first NaN or Inf of a float array, or None."""

def _host_register(functions: tuple[Callable | None, ...], gradients: tuple[Callable | None, ...]) -> None:
    """The functions of the op `host` and their gradients, once: nnc.ops.host calls it."""

def _custom(rule: Callable, y: Tensor, *xs: Tensor | Variable) -> Tensor:
    """y under another identity. Its gradient for each of xs is what rule(dy) gives: a sequence of Tensors
    or None. The rule of a trace is forgotten when the trace's `with` ends."""
def autocast() -> str | None: ...
def set_autocast(dtype: str | None) -> str | None:
    """The dtype that ops read floating-point Variables in (those with `autocast`) from now on in this
    thread, or None: their own. Returns what it was."""

def floats_as(x: Tensor, dtype: str) -> Tensor:
    """The Tensor in `dtype` if it holds floats, else as it is; with its `_keras_mask`."""
def run_layers(calls: tuple[tuple[Any, bool], ...], dtype: str | None, reading: str | None, x: Any,
               training: Any) -> Any:
    """x through `(call, whether it takes training)`, one behind the other: a tensor is cast to `dtype` first
    (None: as it comes), Variables are read in `reading`."""
def _branch(graph: Graph, index: Tensor, bodies: tuple[Graph, ...],
            outputs: tuple[Sequence[Tensor], ...]) -> tuple[Tensor, ...]:
    """Appends a branch: the outputs of bodies[index] (int32; the nearest in range). Bodies are spent."""
def _loop(graph: Graph, bodies: tuple[Graph, ...], outputs: tuple[Sequence[Tensor], ...],
          inputs: tuple[Tensor, ...], carries: int, limit: int, start: int, reverse: bool) -> tuple[Tensor, ...]:
    """Appends a loop. bodies: the body, made with inputs i (int32), carries, a part of each slice; and, or
    not, the condition, made with inputs carries. outputs: of the body carries and results, of the condition a
    bool. inputs: first carries, slices. limit: rounds (at the most, with a condition); -1: none. Gives last
    carries, stacked results, and the number of rounds."""

# Texts: bytes (uint8), begin and end (int64), as arrays of NumPy; string i is bytes[begin[i]:end[i]].
def pack_strings(array: Any) -> tuple[Any, Any, Any]:
    """A text of a contiguous array of str, bytes or objects."""
def hash_strings(bytes: Any, begin: Any, end: Any, bins: int, key: Sequence[int] | None) -> Any:
    """FarmHash's fingerprint, or SipHash-2-4 with a key of two integers, modulo bins (0: all bits), int64."""
def hash_integers(x: Any, bins: int, key: Sequence[int] | None) -> Any:
    """The same of the decimal digits of an int64 array, flat."""
def cross_integers(x: Any, bins: int) -> Any:
    """The hash of each column of an int64 array (k, n), modulo bins."""
def standardize_text(bytes: Any, begin: Any, end: Any, how: int) -> tuple[Any, Any, Any]:
    """1: ASCII letters as small ones, 2: without ASCII punctuation, 3: both."""
def split_text(bytes: Any, begin: Any, end: Any, characters: bool) -> tuple[Any, Any, Any]:
    """(row, begin, end): the words, or characters, of string i are those from row[i] on, before row[i + 1]."""
def ngram_text(bytes: Any, begin: Any, end: Any, row: Any, widths: Any) -> tuple[Any, tuple[Any, Any, Any]]:
    """(row, text) of the runs of so many words in each row."""
def pad_rows(ids: Any, row: Any, width: int, fill: int) -> Any:
    """int64 (rows, width): the first ids of each row, filled up."""
class StringTable:
    """Distinct strings, numbered in the order in which they come."""
    def add(self, bytes: Any, begin: Any, end: Any) -> Any: ...     # the number of each, int64
    def find(self, bytes: Any, begin: Any, end: Any) -> Any: ...    # the number of each, or -1
    def keys(self) -> list[bytes]: ...
    def __len__(self) -> int: ...

def get_num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...
def num_threads_reason() -> str: ...
def isa() -> str: ...
def isa_available() -> tuple[str, ...]: ...
def set_isa(name: str) -> None: ...
def widens_bfloat16() -> bool: ...
def alloc_fail_at(n: int) -> None: ...
def alloc_stats() -> dict[str, int]: ...            # count, live_blocks, live_bytes
def pass_enable(name: str, on: bool) -> None: ...
