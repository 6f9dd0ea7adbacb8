"""einsum: Einstein's summation on transpose, reshape, matmul and sum.

Letters are normalized first (the ellipsis becomes letters of its own, repeated letters within an
operand its diagonal), then operands are joined two by two, those first whose product is smallest. A
pair is one matrix product: letters of both and of the result are its batch, letters of both and
nowhere else are summed.
"""
import math

from .._core import op
from . import arrays, numpy as _numpy
from .core import cast_array, result_type, tensor

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _refuse(subscripts, why):
    raise ValueError(f"einsum: {why}. Received: subscripts={subscripts!r}")


def _parse(subscripts, ranks):
    """The letters of each operand and of the result; an ellipsis as letters nobody else uses."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        _refuse(subscripts, f"{len(terms)} operands are named, {len(ranks)} were given")
    for term in (*terms, right):
        plain = term.replace("...", "", 1)
        if any(letter not in _LETTERS for letter in plain):
            _refuse(subscripts, "expected letters, one '...' an operand, ',' and '->'")
    spare = [letter for letter in _LETTERS if letter not in text]
    widths = [rank - len(term.replace("...", "", 1)) for term, rank in zip(terms, ranks)]
    for term, width, rank in zip(terms, widths, ranks):
        if width < 0 or (width > 0 and "..." not in term):
            _refuse(subscripts, f"'{term}' does not fit an operand of rank {rank}")
    most = max((w for t, w in zip(terms, widths) if "..." in t), default=0)
    if most > len(spare):
        _refuse(subscripts, "too many letters")
    dots = "".join(spare[:most])
    inputs = [t.replace("...", dots[most - w:]) for t, w in zip(terms, widths)]
    if not arrow:
        every = "".join(t.replace("...", "") for t in terms)
        return inputs, dots + "".join(sorted(c for c in set(every) if every.count(c) == 1))
    output = right.replace("...", dots)
    if len(set(output)) != len(output) or not set(output) <= set("".join(inputs)):
        _refuse(subscripts, "the result's letters must be letters of the operands, each once")
    return inputs, output


def _diagonals(x, letters):
    """Without repeated letters: the elements where their positions agree."""
    while len(set(letters)) < len(letters):
        letter = next(c for c in letters if letters.count(c) > 1)
        first = letters.index(letter)
        second = letters.index(letter, first + 1)
        x = arrays.diagonal(x, 0, first, second)
        letters = letters[:first] + letters[first + 1:second] + letters[second + 1:] + letter
    return x, letters


def _sum_away(x, letters, kept):
    axes = tuple(i for i, c in enumerate(letters) if c not in kept)
    if not axes:
        return x, letters
    return op.sum(x, axes, 0), "".join(c for c in letters if c in kept)


def _ordered(x, letters, order):
    perm = tuple(letters.index(c) for c in order)
    return x if perm == tuple(range(len(perm))) else op.transpose(x, perm)


def _join(a, la, b, lb, kept, sizes):
    """Two operands as one, over the letters of `kept` that they have."""
    a, la = _sum_away(a, la, set(lb) | kept)
    b, lb = _sum_away(b, lb, set(la) | kept)
    batch = [c for c in la if c in lb and c in kept]
    inner = [c for c in la if c in lb and c not in kept]
    rows = [c for c in la if c not in lb]
    columns = [c for c in lb if c not in la]

    def size(letters):
        return math.prod(sizes[c] for c in letters)

    def form(x, letters, groups):
        x = _stretch(x, letters, sizes)
        x = _ordered(x, letters, [c for group in groups for c in group])
        return op.reshape(x, tuple(size(group) for group in groups))
    if not inner and not (rows and columns):
        a = _ordered(a, la, batch + rows) if la else a
        b = _ordered(b, lb, batch + columns) if lb else b
        if rows:
            b = op.reshape(b, tuple(b.shape) + (1,) * len(rows))
        elif columns:
            a = op.reshape(a, tuple(a.shape) + (1,) * len(columns))
        return op.multiply(a, b), "".join(batch + rows + columns)
    a, b = form(a, la, (batch, rows, inner)), form(b, lb, (batch, inner, columns))
    y = _numpy.matmul(a, b)
    letters = "".join(batch + rows + columns)
    return op.reshape(y, tuple(sizes[c] for c in letters)), letters


def _stretch(x, letters, sizes):
    """Axes of size 1 broadcast to what their letters mean elsewhere."""
    shape = tuple(sizes[c] for c in letters)
    return x if tuple(x.shape) == shape else op.broadcast_to(x, shape)


def _letter_sizes(subscripts, inputs, operands):
    sizes = {}
    for letters, x in zip(inputs, operands):
        for letter, size in zip(letters, x.shape):
            have = sizes.setdefault(letter, size)
            if have == 1:
                sizes[letter] = size
            elif size not in (1, have):
                _refuse(subscripts, f"'{letter}' has sizes {have} and {size}")
    return sizes


def _best_pair(terms, output, sizes):
    """The two operands whose product is smallest."""
    def cost(pair):
        i, j = pair
        others = set(output).union(*(t for k, (_, t) in enumerate(terms) if k not in pair))
        both = set(terms[i][1]) | set(terms[j][1])
        return math.prod(sizes[c] for c in both & others)
    pairs = [(i, j) for i in range(len(terms)) for j in range(i + 1, len(terms))]
    return min(pairs, key=cost) if len(pairs) > 1 else pairs[0]


def einsum(subscripts, *operands, **kwargs):
    """Sums of products over named axes: `einsum("ij,jk->ik", a, b)` is `a @ b`.

    Args:
        subscripts: Letters for the axes of each operand, `->`, those of the result. A letter twice
            in an operand is its diagonal; `...` stands for broadcast axes; without `->` the result
            has the letters that occur once, sorted.
        *operands: The arrays.
        **kwargs: None are known here.

    Raises:
        ValueError: If the letters do not fit the operands.
    """
    if kwargs:
        raise ValueError(f"einsum: there are no further arguments. Received: {sorted(kwargs)}")
    if not isinstance(subscripts, str) or not operands:
        raise ValueError("einsum: expected a string and one operand or more. Received: "
                         f"subscripts={subscripts!r}, {len(operands)} operands")
    operands = [tensor(x) for x in operands]
    dtype = result_type(*(x.dtype for x in operands))
    if len(operands) == 1 and dtype == "bool":
        dtype = "int32"
    operands = [cast_array(x, dtype) for x in operands]
    inputs, output = _parse(subscripts, [len(x.shape) for x in operands])
    if len(operands) == 2 and _is_matmul(inputs, output, operands):
        return _numpy.matmul(*operands)
    terms = [_diagonals(x, letters) for x, letters in zip(operands, inputs)]
    sizes = _letter_sizes(subscripts, [t for _, t in terms], [x for x, _ in terms])
    while len(terms) > 1:
        i, j = _best_pair(terms, output, sizes)
        (b, lb), (a, la) = terms.pop(j), terms.pop(i)
        kept = set(output).union(*(letters for _, letters in terms))
        terms.append(_join(a, la, b, lb, kept, sizes))
    x, letters = _sum_away(*terms[0], set(output))
    return _ordered(x, letters, output)


def _is_matmul(inputs, output, operands):
    a, b = inputs
    return (len(a) >= 2 and len(a) == len(b) == len(output) and a[:-2] == b[:-2] == output[:-2]
            and a[-1] == b[-2] and output[-2:] == a[-2] + b[-1] and len(set(a + b)) == len(a) + 1
            and operands[0].shape[-1] == operands[1].shape[-2]
            and tuple(operands[0].shape[:-2]) == tuple(operands[1].shape[:-2]))
