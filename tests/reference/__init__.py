"""Every op of the core again, from its definition, in plain NumPy: one `Row` an op in `ROWS`."""
from . import arrays, elementwise, indexing, losses, patches, state
from .elementwise import UNARY
from .row import ROWS, Row

__all__ = ["ROWS", "Row", "UNARY", "arrays", "elementwise", "indexing", "losses", "patches",
           "state"]
