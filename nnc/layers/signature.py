"""What layers' `call` takes, looked at once for each class."""
import inspect


class Signature:
    """What a layer's `call` takes."""

    def __init__(self, call):
        parameters = [p for p in inspect.signature(call).parameters.values()
                      if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        self.names = [p.name for p in parameters if p.kind != p.KEYWORD_ONLY]
        self.known = {p.name for p in parameters}
        self.training = "training" in self.known
        self.mask = "mask" in self.known
        default = {p.name: p.default for p in parameters}.get("training")
        self.training_default = None if default is inspect.Parameter.empty else default


_signatures = {}


def signature_of(cls, call):
    function = cls.call
    if function not in _signatures:
        _signatures[function] = Signature(call)
    return _signatures[function]
