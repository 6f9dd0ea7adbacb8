"""Models as scikit-learn's estimators; scikit-learn is imported when one is first asked for."""
__all__ = ["SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"]


def __getattr__(name):
    if name not in __all__:
        raise AttributeError(f"module 'nnc.wrappers' has no attribute {name!r}")
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise ImportError(f"{name} needs scikit-learn: pip install scikit-learn") from error
    from nnc.wrappers import estimators

    return getattr(estimators, name)


def __dir__():
    return sorted(__all__)
