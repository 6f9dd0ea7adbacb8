"""Branches and loops over functions of the user: `cond`, `switch`, `while_loop`, `scan`, `map` ...

Run now, they are Python: a branch is taken and a loop goes round as the numbers say. In a recording
they are nodes that own what their functions recorded (bodies.py): the branch is picked, and rounds
are counted, when it runs. Short loops are unrolled. Gradients are those of the ops inside; a loop's
run each round again, from the carry that it began with.
"""
from .. import tree
from .._core import op
from . import arrays as _arrays, bodies
from .core import _FLOATS, tensor


def _check_function(who, name, function):
    if not callable(function):
        raise TypeError(f"{who}: `{name}` must be a function. Received: {name}={function!r} (of "
                        f"type {type(function).__name__})")


def _leaves(who, name, nest):
    """The tensors of a nest and their one leading size."""
    leaves = [tensor(leaf) for leaf in tree.flatten(nest)]
    sizes = {leaf.shape[0] if leaf.shape else None for leaf in leaves}
    if len(sizes) > 1 or None in sizes:
        raise ValueError(f"{who}: every tensor in `{name}` must have the same leading size. "
                         f"Received: shapes {[tuple(leaf.shape) for leaf in leaves]}")
    return leaves, sizes.pop() if sizes else None


def _stacked(nests):
    """The nest whose leaves are those of equal nests, stacked on a new first axis."""
    columns = zip(*(tree.flatten(nest) for nest in nests))
    return tree.pack(nests[0], [_arrays.stack(list(column)) for column in columns])


def cond(pred, true_fn, false_fn):
    """`true_fn()` if `pred` is true, else `false_fn()`; only that function runs.

    In a recording both functions are recorded, once, if `pred` is not known yet; what they give must
    have the same shapes and dtypes then.
    """
    _check_function("cond", "true_fn", true_fn)
    _check_function("cond", "false_fn", false_fn)
    decides = bodies.traced(pred)
    if decides is not None:
        return bodies.branch("cond", op.cast(decides, "bool"), [false_fn, true_fn])
    return true_fn() if bool(pred) else false_fn()


def switch(index, branches, *operands):
    """`branches[index](*operands)`; an index out of range counts as the nearest one in it."""
    if not branches:
        raise ValueError("switch: `branches` must hold at least one function. Received: none")
    for branch in branches:
        _check_function("switch", "branches", branch)
    decides = bodies.traced(index)
    if decides is not None:
        return bodies.branch("switch", op.cast(decides, "int32"),
                             [lambda branch=branch: branch(*operands) for branch in branches])
    return branches[min(max(int(index), 0), len(branches) - 1)](*operands)


def while_loop(cond, body, loop_vars, maximum_iterations=None):
    """`loop_vars = body(*loop_vars)` as long as `cond(*loop_vars)`.

    Args:
        cond: Function of the loop variables; gives a truth value.
        body: Function of the loop variables; gives the next ones, as many.
        loop_vars: List or tuple of nests of tensors, or one tensor.
        maximum_iterations: Rounds at the most; `None`: no limit.

    Returns:
        The last loop variables, in the form of `loop_vars`.

    A gradient needs what each round of a recorded loop began with. That takes the room of
    `maximum_iterations` rounds, and without it that of the rounds there are. A gradient of such a
    gradient needs `maximum_iterations`; without it the step runs eagerly.
    """
    _check_function("while_loop", "cond", cond)
    _check_function("while_loop", "body", body)
    many = isinstance(loop_vars, (list, tuple))
    values = tuple(tree.map_leaves(tensor, v) for v in (loop_vars if many else (loop_vars,)))

    def turn(*values):
        after = body(*values)
        after = tuple(after) if isinstance(after, (list, tuple)) else (after,)
        if len(after) != len(values):
            raise ValueError(f"while_loop: `body` must give {len(values)} values, as many as there "
                             f"are in `loop_vars`. Received: {len(after)}")
        return after

    rounds = 0
    while maximum_iterations is None or rounds < maximum_iterations:
        if bodies.any_symbolic(values) or bodies.is_symbolic(test := cond(*values)):
            left = None if maximum_iterations is None else int(maximum_iterations) - rounds
            values = bodies.while_loop(cond, turn, values, left)
            break
        if not bool(test):
            break
        values = turn(*values)
        rounds += 1
    if not many:
        return values[0]
    return list(values) if isinstance(loop_vars, list) else values


def fori_loop(lower, upper, body_fun, init_val):
    """`value = body_fun(i, value)` for `i` from `lower` to `upper - 1`; returns the last value.

    In a recording `i` is a tensor in long loops, and where `lower` or `upper` is one that is not
    known yet; it is a `while_loop` without `maximum_iterations` then.
    """
    _check_function("fori_loop", "body_fun", body_fun)
    if bodies.traced(lower) is not None or bodies.traced(upper) is not None:
        i, stop = op.cast(tensor(lower), "int32"), op.cast(tensor(upper), "int32")
        return bodies.while_loop(lambda i, _: i < stop, lambda i, v: (i + 1, body_fun(i, v)),
                                 (i, init_val), None)[1]
    value, i, stop = init_val, int(lower), int(upper)
    while i < stop:
        if stop - i > bodies.UNROLLED and bodies.any_symbolic(value):
            found = bodies.loop(lambda i, v, _: (body_fun(i, v), None), value, [], stop - i, i)
            if found is not None:
                return found[0]
        value = body_fun(i, value)
        i += 1
    return value


def scan(f, init, xs=None, length=None, reverse=False, unroll=1):
    """`carry, y = f(carry, x)` along the first axis of `xs`.

    Args:
        f: The function.
        init: The first carry: a nest of tensors.
        xs: Nest of tensors of one leading size; `None`: `f` gets `None`, `length` times.
        length: Rounds; needed without `xs`.
        reverse: Whether it begins at the end of `xs`; results keep their places.
        unroll: `True`: a recording holds every round. Numbers are accepted as in Keras.

    Returns:
        The last carry, and the `y`s stacked (`None` if they are `None`).
    """
    _check_function("scan", "f", f)
    if not isinstance(unroll, (bool, int)) or unroll < 0 and not isinstance(unroll, bool):
        raise ValueError(f"scan: `unroll` must be a bool or a whole number >= 0. Received: {unroll}")
    leaves, size = ([], None) if xs is None else _leaves("scan", "xs", xs)
    if size is None:
        if length is None:
            raise ValueError("scan: without `xs`, `length` must be given. Received: length=None")
        size = int(length)
    elif length is not None and int(length) != size:
        raise ValueError(f"scan: `length` must be the leading size of `xs`, {size}. "
                         f"Received: length={length}")
    if size > bodies.UNROLLED and unroll is not True and bodies.any_symbolic(init, leaves):
        def turn(_, carry, parts):
            return f(carry, None if xs is None else tree.pack(xs, parts))
        found = bodies.loop(turn, init, leaves, size, reverse=bool(reverse))
        if found is not None:
            return found
    carry, results = init, [None] * size
    for i in reversed(range(size)) if reverse else range(size):
        x = None if xs is None else tree.pack(xs, [leaf[i] for leaf in leaves])
        carry, results[i] = f(carry, x)
    if not results or not tree.flatten(results[0]):
        return carry, None
    return carry, _stacked(results)


def map(f, xs):
    """`f(x)` for each `x` along the first axis of `xs` (a nest), the results stacked."""
    _check_function("map", "f", f)
    leaves, size = _leaves("map", "xs", xs)
    if not size:
        raise ValueError("map: `xs` must hold at least one element along its first axis. "
                         f"Received: shapes {[tuple(leaf.shape) for leaf in leaves]}")
    if size > bodies.UNROLLED and bodies.any_symbolic(leaves):
        found = bodies.loop(lambda _, carry, parts: (carry, f(tree.pack(xs, parts))), [], leaves,
                            size)
        if found is not None:
            return found[1]
    return _stacked([f(tree.pack(xs, [leaf[i] for leaf in leaves])) for i in range(size)])


def vectorized_map(function, elements):
    """`function` for each element along the first axis of `elements` (a nest), the results stacked:
    the same as `map`."""
    _check_function("vectorized_map", "function", function)
    return map(function, elements)


def _part(leaf, axis, start, stop):
    return leaf[(slice(None),) * axis + (slice(start, stop),)]


def associative_scan(f, elems, reverse=False, axis=0):
    """Running results of an associative function along an axis: `y[i] = f(y[i-1], x[i])`.

    Args:
        f: Function of two nests like `elems` (parts of it along the axis, of one size); it must work
            on each place along the axis by itself, and be associative.
        elems: Nest of tensors of one size along `axis`.
        reverse: Whether it runs from the end.
        axis: The axis.

    The function is called about `log2(n)` times, each time on whole parts (Hillis and Steele 1986).
    """
    _check_function("associative_scan", "f", f)
    leaves = [tensor(leaf) for leaf in tree.flatten(elems)]
    if not leaves:
        raise ValueError("associative_scan: `elems` must hold a tensor. Received: none")
    rank = len(leaves[0].shape)
    if not -rank <= axis < rank:
        raise ValueError(f"associative_scan: axis {axis} is out of range for shape "
                         f"{tuple(leaves[0].shape)}")
    axis %= rank
    sizes = {leaf.shape[axis] if len(leaf.shape) > axis else None for leaf in leaves}
    if len(sizes) > 1 or None in sizes:
        raise ValueError("associative_scan: every tensor in `elems` must have the same size along "
                         f"axis {axis}. Received: shapes {[tuple(v.shape) for v in leaves]}")
    size, apart = sizes.pop(), 1
    leaves = [_arrays.flip(leaf, axis) if reverse else leaf for leaf in leaves]
    while apart < size:
        before = tree.pack(elems, [_part(leaf, axis, 0, size - apart) for leaf in leaves])
        here = tree.pack(elems, [_part(leaf, axis, apart, size) for leaf in leaves])
        joined = tree.flatten(f(before, here))
        leaves = [_arrays.concatenate([_part(old, axis, 0, apart), new], axis)
                  for old, new in zip(leaves, joined)]
        apart *= 2
    return tree.pack(elems, [_arrays.flip(leaf, axis) if reverse else leaf for leaf in leaves])


def _check_tangents(points, along):
    """Tangents are like the points that they belong to."""
    if [tuple(p.shape) for p in points] != [tuple(t.shape) for t in along]:
        raise ValueError("jvp: `tangents` must have the structure and shapes of `primals`. "
                         f"Received: shapes {[tuple(t.shape) for t in along]}, expected "
                         f"{[tuple(p.shape) for p in points]}")


def jvp(fun, primals, tangents, has_aux=False):
    """`fun(*primals)` and its Jacobian times `tangents`.

    Args:
        fun: Function of tensors; gives a nest of tensors, with `has_aux` a pair of that and
            anything.
        primals: Tuple of nests of tensors.
        tangents: The same in form and shapes.
        has_aux: Whether `fun` gives something more, which comes third in the result.

    Two reverse passes: the gradient weighted with u is linear in u, and its own gradient with
    respect to u is the Jacobian times the tangents.
    """
    from ..autograd import GradientTape

    _check_function("jvp", "fun", fun)
    primals = [tree.map_leaves(lambda x: op.copy(tensor(x)), p) for p in primals]
    points, along = tree.flatten(primals), [tensor(t) for t in tree.flatten(list(tangents))]
    _check_tangents(points, along)
    with GradientTape(persistent=True) as outer:
        with GradientTape() as inner:
            for point in points:
                if point.dtype in _FLOATS:
                    inner.watch(point)
            result = fun(*primals)
            out, aux = result if has_aux else (result, None)
            out = tree.map_leaves(tensor, out)
        ys = tree.flatten(out)
        us = [_arrays.zeros_like(y) for y in ys]
        for u in us:
            outer.watch(u)
        grads = inner.gradient(ys, points, output_gradients=us)
    used = [(g, t) for g, t in zip(grads, along) if g is not None]
    if used:
        found = outer.gradient([g for g, _ in used], us, [op.cast(t, g.dtype) for g, t in used],
                               unconnected_gradients="zero")
    else:
        found = [_arrays.zeros_like(y) for y in ys]
    tangent = tree.pack(out, found)
    return (out, tangent, aux) if has_aux else (out, tangent)
