"""Warning classes, so that scripts can filter them by name."""


class NumericWarning(UserWarning):
    """Training meets NaN or Inf. The text names the first row and column of the data with one."""
