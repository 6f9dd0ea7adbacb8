"""Low-rank adapters (LoRA) of layers with one large weight.

The weight `w` is frozen, and `w + (alpha / rank) a b` takes its place, with `a` of `rank` columns
and `b` of `rank` rows, which are trained. Files hold the merged weight, as Keras's do.

Source: Hu et al., 2021 (arXiv:2106.09685).
"""
from .. import _core, initializers, ops
from ..saving.state import fill, settle


class LowRank:
    """Mixed into a layer before `Layer`. The layer names its weight in `_MAIN`."""

    _MAIN = "kernel"
    lora_enabled = False

    # ---- what the layers call ----

    def _take_rank(self, rank, alpha):
        """The arguments `lora_rank` and `lora_alpha`, checked."""
        if rank is not None:
            _check_rank(type(self).__name__, "lora_rank", rank, alpha)
        self.lora_rank, self.lora_alpha = rank, rank if alpha is None else alpha
        self.lora_enabled = False

    def _add_main(self, shape):
        """Makes the weight, in the layer's dtype."""
        get = [getattr(self, f"{self._MAIN}_{part}")
               for part in ("initializer", "regularizer", "constraint")]
        setattr(self, f"_{self._MAIN}", self.add_weight(
            name=self._MAIN, shape=shape, initializer=get[0], regularizer=get[1],
            constraint=get[2]))

    def _adapt(self):
        """At the end of `build`: adapters, where the arguments ask for them."""
        if self.lora_rank:
            self.built = True
            self.enable_lora(self.lora_rank, self.lora_alpha)

    def _rank_config(self):
        return {"lora_rank": self.lora_rank, "lora_alpha": self.lora_alpha} if self.lora_rank \
            else {}

    @property
    def _main(self):
        main = self.__dict__.get(f"_{self._MAIN}")
        if main is None:
            raise AttributeError(f"Layer '{self.name}': build the layer before reading "
                                 f"`{self._MAIN}`.")
        return main

    def _merged(self):
        """The weight that calls compute with, as a variable or a tensor."""
        if not self.lora_enabled:
            return self._main
        return ops.add(self._floating(), ops.multiply(self._share, ops.matmul(*self._adapters)))

    def _floating(self):
        """The weight without adapters, in the layer's dtype."""
        return self._main

    @property
    def _adapters(self):
        values = self.__dict__
        return values[f"lora_{self._MAIN}_a"], values[f"lora_{self._MAIN}_b"]

    @property
    def _share(self):
        return self.lora_alpha / self.lora_rank

    # ---- what users call ----

    def enable_lora(self, rank, lora_alpha=None, a_initializer="he_uniform",
                    b_initializer="zeros"):
        """Freezes the weight and puts two trained matrices beside it.

        Args:
            rank: Integer > 0: columns of the first, rows of the second.
            lora_alpha: The product is multiplied by `lora_alpha / rank`. Defaults to `rank`.
            a_initializer, b_initializer: First values; zeros in one leave the layer as it was.

        Raises:
            ValueError: If the layer is not built, has adapters, or constrains the weight.

        Unlike in Keras, `lora_alpha` of `Dense` and `Embedding` outlives a file, and setting
        `trainable` does not thaw the weight.
        """
        who = f"Layer '{self.name}': enable_lora"
        _check_rank(who, "rank", rank, lora_alpha)
        if getattr(self, f"{self._MAIN}_constraint"):
            raise ValueError(f"{who}: adapters and `{self._MAIN}_constraint` do not go together; "
                             "remove the constraint.")
        if not self.built:
            raise ValueError(f"{who}: the layer has no weights yet. Build it first.")
        if self.lora_enabled:
            raise ValueError(f"{who}: the layer has adapters already.")
        a_initializer, b_initializer = (initializers.get(given) for given in (a_initializer,
                                                                              b_initializer))
        shape, regularizer = self._full_shape, getattr(self, f"{self._MAIN}_regularizer")
        for part, size, initializer in (("a", (*shape[:-1], rank), a_initializer),
                                        ("b", (rank, shape[-1]), b_initializer)):
            name = f"lora_{self._MAIN}_{part}"
            setattr(self, name, self.add_weight(
                name=name, shape=size, initializer=initializer, dtype=self.variable_dtype,
                regularizer=regularizer))
        self._main.trainable = self._main._was_trainable = False
        self.lora_enabled = True
        self.lora_rank, self.lora_alpha = rank, rank if lora_alpha is None else lora_alpha

    @property
    def _full_shape(self):
        return tuple(self._main.shape)

    # ---- files ----

    def _saved_names(self):
        """The weights that files hold, in their order."""
        names = [self._MAIN]
        if getattr(self, "bias", None) is not None:
            names.append("bias")
        return names

    def _saved_variables(self):
        """Those weights; what a derived class has beside follows."""
        if f"_{self._MAIN}" not in self.__dict__:
            return []
        values = self.__dict__
        found = [self._main if name == self._MAIN else values[name]
                 for name in self._saved_names()]
        known = {id(v) for v in (*found, *(self._adapters if self.lora_enabled else ()))}
        return found + [v for v in self._own_in_order() if id(v) not in known]

    def save_own_variables(self, store):
        """Writes the layer's own variables, adapters merged, under their numbers."""
        values = self._saved_variables()
        if self.lora_enabled:
            with _core.no_trace():
                self._put_merged(values)
        for i, value in enumerate(values):
            store[str(i)] = value

    def _put_merged(self, values):
        """Puts the merged weight in its place among the values of `_saved_variables`."""
        values[0] = self._merged()

    def _check_own_variables(self, store):
        if type(self).load_own_variables is LowRank.load_own_variables:
            self._compare(store, self._saved_variables())

    def load_own_variables(self, store):
        """Reads them; adapters begin anew, from zero."""
        variables = self._saved_variables()
        self._compare(store, variables)
        for i, variable in enumerate(variables):
            fill(variable, store, str(i))
        if self.lora_enabled:
            for variable in self._adapters:
                variable.assign(ops.zeros(variable.shape, variable.dtype))
                settle(variable)


def _check_rank(who, name, rank, alpha):
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise ValueError(f"{who}: `{name}` must be a positive integer. Received: {name}={rank!r}")
    if alpha is not None and (isinstance(alpha, bool) or not isinstance(alpha, (int, float))):
        raise ValueError(f"{who}: `lora_alpha` must be a number. Received: lora_alpha={alpha!r}")
