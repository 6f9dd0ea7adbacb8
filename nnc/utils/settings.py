"""Config: a dictionary whose entries are attributes, too."""


class Config:
    """Named values: `Config(a=1).a`; can be frozen.

    Args:
        **kwargs: The first values.
    """

    def __init__(self, **kwargs):
        self.__dict__["_config"], self.__dict__["_frozen"] = dict(kwargs), False

    def freeze(self):
        """Makes every later change an error."""
        self.__dict__["_frozen"] = True

    def unfreeze(self):
        """Allows changes again."""
        self.__dict__["_frozen"] = False

    def _check(self):
        if self._frozen:
            raise ValueError("Cannot mutate attribute(s) because the config is frozen.")

    def __getattr__(self, name):
        config = self.__dict__.get("_config", {})
        if name in config:
            return config[name]
        from nnc.utils.text import suggest

        raise AttributeError(f"Unknown attribute: {name!r}; {suggest(name, config)}")

    def __setattr__(self, name, value):
        self._check()
        self._config[name] = value

    __setitem__ = __setattr__

    def __delitem__(self, name):
        self._check()
        del self._config[name]

    def __getitem__(self, name):
        return self._config[name]

    def __contains__(self, name):
        return name in self._config

    def __iter__(self):
        return iter(sorted(self._config))

    def __len__(self):
        return len(self._config)

    def __repr__(self):
        return f"<Config {self._config}>"

    def keys(self):
        """The names."""
        return self._config.keys()

    def values(self):
        """The values."""
        return self._config.values()

    def items(self):
        """Names and values."""
        return self._config.items()

    def get(self, keyname, value=None):
        """The value of a name, or `value`."""
        return self._config.get(keyname, value)

    def pop(self, *args):
        """Takes a name out and returns its value."""
        self._check()
        return self._config.pop(*args)

    def update(self, *args, **kwargs):
        """Takes further values in."""
        self._check()
        self._config.update(*args, **kwargs)

    def as_dict(self):
        """A copy as a dictionary."""
        return dict(self._config)

    def to_json(self):
        """The values as JSON."""
        import json

        return json.dumps(self._config)
