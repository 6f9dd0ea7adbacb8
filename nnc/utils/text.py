"""Help for names typed wrong."""


def suggest(name, known):
    """A clause that ends an "unknown name" message.

    Args:
        name: What the user wrote, any object.
        known: Iterable of the names that would have been right.

    Returns:
        `"did you mean 'adam'?"` if a known name is near, else `"known: 'a', 'b', ..."`.
    """
    import difflib

    names = sorted({str(k) for k in known})
    lower = {}
    for n in names:
        lower.setdefault(n.lower(), n)
    near = difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=0.6)
    if near:
        return f"did you mean {lower[near[0]]!r}?"
    shown = ", ".join(repr(n) for n in names[:20])
    return f"known: {shown}" + (", ..." if len(names) > 20 else "")
