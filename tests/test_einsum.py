"""einsum against NumPy's, and its gradient against finite differences."""
import numpy as np
import pytest

from nnc import ops
from nnc._core import Graph, Program
from reference.row import numbers
from test_ops import check_gradient

CASES = [
    ("ij,jk->ik", (3, 4), (4, 5)), ("ij,jk", (3, 4), (4, 5)), ("ij,kj->ki", (3, 4), (5, 4)),
    ("ii->i", (4, 4)), ("ii", (4, 4)), ("iji->j", (3, 2, 3)), ("ijk->kij", (2, 3, 4)),
    ("ba", (2, 3)), ("i,j->ij", (3,), (4,)), ("i,i->", (4,), (4,)), ("ab,cd->", (2, 3), (4, 5)),
    ("ab,b->ab", (2, 3), (3,)), ("a,ab->ab", (2,), (2, 3)), ("ab,ab->a", (2, 3), (2, 3)),
    ("...ij,...jk->...ik", (2, 1, 3, 4), (5, 4, 6)), ("...ij,...jk", (2, 3, 4), (4, 2)),
    ("...a->...", (2, 3, 4)), ("a...,b...->ab...", (2, 3), (4, 3)), ("bhqd,bhkd->bhqk",
                                                                   (2, 3, 4, 5), (2, 3, 6, 5)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)), ("i,j,k->kji", (2,), (3,), (4,)),
    ("ab,bc,cd,da->", (2, 3), (3, 2), (2, 4), (4, 2)), ("ijj,j->i", (2, 3, 3), (3,)),
    ("abc,cd,def->abef", (2, 3, 2), (2, 3), (3, 2, 2)), (",i->i", (), (3,)),
    ("ij , jk -> ik", (3, 4), (4, 5)), ("ab,cb->ac", (0, 3), (2, 3)), ("ab,bc->ac", (2, 0), (0, 3)),
]


@pytest.mark.parametrize("subscripts, shapes", [(case[0], case[1:]) for case in CASES])
def test_values(subscripts, shapes):
    inputs = [numbers(*shape, seed=i) for i, shape in enumerate(shapes)]
    want = np.einsum(subscripts, *inputs)
    got = ops.einsum(subscripts, *inputs).numpy()
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("subscripts, shapes", [(case[0], case[1:]) for case in CASES[::3]])
def test_gradient(subscripts, shapes):
    inputs = [numbers(*shape, seed=i) for i, shape in enumerate(shapes)]
    check_gradient(lambda *x: ops.einsum(subscripts, *x), inputs, range(len(inputs)), subscripts)


@pytest.mark.parametrize("subscripts, shapes, steps", [
    ("ij,jk->ik", ((3, 4), (4, 5)), 1), ("bij,bjk->bik", ((2, 3, 4), (2, 4, 5)), 1)])
def test_a_matrix_product_is_one_step(subscripts, shapes, steps):
    graph = Graph()
    with graph:
        y = ops.einsum(subscripts, *(graph.input(shape, "float32") for shape in shapes))
    assert Program(graph, [y]).stats()["nodes_recorded"] == steps


def test_dtypes():
    assert ops.einsum("i,i->", np.ones(3, "int32"), np.ones(3, "int32")).dtype == "int32"
    assert ops.einsum("i,i->", np.ones(3, "float32"), np.ones(3, "int32")).dtype == "float32"


@pytest.mark.parametrize("subscripts, shapes", [
    ("ij,jk->ik", ((3, 4),)), ("ij->ijk", ((3, 4),)), ("ij->ii", ((3, 4),)), ("i->i", ((3, 4),)),
    ("ijk->i", ((3, 4),)), ("i1->i", ((3, 4),)), ("ij,jk->ik", ((3, 4), (5, 2))),
    ("....->", ((3, 4),))])
def test_refused(subscripts, shapes):
    with pytest.raises(ValueError, match="einsum"):
        ops.einsum(subscripts, *(numbers(*shape) for shape in shapes))
