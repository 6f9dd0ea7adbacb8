"""`nnc.export`: models as files that other programs run."""
from .archive import ExportArchive

__all__ = ["ExportArchive"]
