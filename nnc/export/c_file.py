"""Recordings as one C source file and its header.

The source has the weights, the kernels that are used (`kernels.c`) and a function for each
recording. Temporary arrays lie in one arena, planned here by how long each is used.
"""
import os
import re
import textwrap

import numpy as np

from .c_ops import convert, literal
from .c_whole import write_outputs
from .c_writer import Writer

_HEAD = """\
/* {name}.c - the forward pass of the model '{model}', written by nnc {version}.
 * See the header. C11, {needs}. Compile without -ffast-math, and with -std=c11 or
 * -ffp-contract=off: so the results are, bit for bit, those of nnc's portable level. */
#include "{file}.h"

#include <stdint.h>

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif
"""

_HEADER = """\
/* {name}.h - the forward pass of the model '{model}', written by nnc {version}.
 *
 * All arrays are of {types}, rows last axis first to change (C order), and
 * may not overlap. Functions keep no state and take no memory but {name}_arena
 * ({bytes} bytes, static), which the plain functions share: threads that run at once each
 * call the *_in function with an array of {macro}_ARENA floats of their own.{about} */
#ifndef {macro}_H
#define {macro}_H

#include <stddef.h>{include}

#ifdef __cplusplus
extern "C" {{
#endif

#define {macro}_ARENA {arena}

{functions}
#ifdef __cplusplus
}}
#endif

#endif
"""

_KEYWORDS = set(
    "auto break case char const continue default do double else enum extern float for goto if "
    "inline int long register restrict return short signed sizeof static struct switch typedef "
    "union unsigned void volatile while arena rows row".split())


def identifier(text):
    """A name of C made of any text."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII)
    if not name or name[0].isdigit() or name in _KEYWORDS:
        name = f"n_{name}"
    return name


def comment(text):
    """Text that may stand in a comment, whatever it is."""
    text = re.sub(r"[^ -~]|[\\?{}]", "_", text)
    return text.replace("*/", "*_").replace("/*", "_*")


# ---- the kernels that are used -------------------------------------------------------------------

_DEFINED = re.compile(r"^(?:static [\w ]+?|#define )\*?(\w+)\(|^\} (\w+);", re.MULTILINE)


def _blocks():
    """The blocks of kernels.c: the names that each defines, and its text."""
    with open(os.path.join(os.path.dirname(__file__), "kernels.c"), encoding="utf-8") as file:
        texts = file.read().strip().split("\n\n")[1:]
    found = []
    for text in texts:
        names = {a or b for a, b in _DEFINED.findall(text)}
        if text.startswith("#include <math.h>"):
            names = LIBRARY
        found.append((names, text))
    return found


#: Functions of the C library that kernels call.
LIBRARY = {f"{name}f" for name in (
    "sin cos erfc exp2 cbrt sinh cosh asin acos atan asinh acosh atanh atan2 hypot fmod pow "
    "copysign").split()}


def used_kernels(text):
    """What of kernels.c a text needs, in the file's order."""
    blocks, kept = _blocks(), set()
    words = set(re.findall(r"\w+", text))
    for i in range(len(blocks) - 1, -1, -1):    # a block needs only what stands before it
        if blocks[i][0] & words:
            kept.add(i)
            words |= set(re.findall(r"\w+", blocks[i][1]))
    return [blocks[i][1] for i in sorted(kept)]


# ---- the files -----------------------------------------------------------------------------------

_TYPES = {"float32": "float", "int32": "int32_t", "int8": "signed char"}


def _function(writer, name, prefix):
    """The prototypes, with what they take and give, and the bodies of one recording's functions."""
    about, arguments, names, sizes = [], [], [], []
    for kind, sides, const in (("input", writer.recording.inputs, "const "),
                               ("output", writer.recording.outputs, "")):
        for given, number in sides:
            shape = writer.shape(number)
            own = writer.arguments[given, kind]
            about.append(f"{own}: '{comment(given)}', {writer.text(shape)}")
            arguments.append(f"{const}{_TYPES[writer.recording.values[number].dtype]} *{own}")
            names.append(own)
            sizes.append(writer.size(number))
    both = ", ".join(arguments)
    head = _wrapped(f"void {name}({both})")
    inside = _wrapped(f"void {name}_in({both}, float *arena)")
    many = _wrapped(f"void {name}_batch({both}, size_t rows)")
    moves = "".join(f", {own} + r * {size}" for own, size in zip(names, sizes))[2:]
    per = "sample" if writer.recording.symbols else "call"
    text = textwrap.fill(f"/* One {per}. " + "; ".join(about) + " */", 100,
                         subsequent_indent=" * ")
    prototypes = (f"{text}\n{head};\n{inside};\n"
                  f"/* `rows` {per}s, one behind another. */\n{many};\n")
    bodies = (f"{inside}\n{{\n    (void)arena;\n{writer.body()}}}\n\n"
              f"{head}\n{{\n    {name}_in({', '.join(names)}, {prefix}_arena);\n}}\n\n"
              f"{many}\n{{\n    for (size_t r = 0; r < rows; r++)\n        {name}({moves});\n}}\n")
    return prototypes, bodies


def _wrapped(text):
    return textwrap.fill(text, 98, subsequent_indent=" " * 8, break_long_words=False,
                         break_on_hyphens=False)


def to_sources(recordings, path):
    """The texts of the source and the header by path.

    Raises:
        NotImplementedError: If a layer uses what there is no kernel for.
    """
    from .. import _core

    stem, end = os.path.splitext(path)
    stem = stem if end == ".c" else path
    file = os.path.basename(stem)
    if not file or re.search(r'[\\"\x00-\x1f]', file):
        raise ValueError("export to C: the file needs a name without quotes and backslashes. "
                         f"Received: filepath={path!r}")
    name = identifier(file)
    weights, operations, prototypes, bodies, arena = {}, {}, [], [], 0
    for endpoint, recording in recordings.items():
        writer = Writer(recording, weights, operations)
        for node in recording.nodes:
            convert(writer, node)
        write_outputs(writer)
        writer.plan()
        arena = max(arena, writer.arena)
        own = f"{name}_predict" if len(recordings) == 1 else f"{name}_{identifier(endpoint)}"
        prototype, body = _function(writer, own, name)
        prototypes.append(prototype)
        bodies.append(body)
    arrays = [f"static const {_TYPES[array.dtype.name]} {own}[{array.size}] = {{\n"
              f"{_numbers(array)}\n}};\n" for own, array in weights.values()]
    code = "\n".join([*operations.values(), *bodies])
    kernels = used_kernels(code)
    facts = {"name": name, "file": file,
             "model": comment(", ".join(recordings)), "version": _core.__version__,
             "macro": name.upper(), "arena": max(arena, 1), "bytes": f"{4 * max(arena, 1):,}",
             "functions": "\n".join(prototypes), **_facts(prototypes, code),
             "needs": "and the C library's mathematics (-lm)" if any(
                 text.startswith("#include <math.h>") for text in kernels)
             else "which needs no library"}
    source = "\n".join([_HEAD.format(**facts), "\n\n".join(kernels) + "\n",
                        f"static float {name}_arena[{facts['macro']}_ARENA];\n", *arrays, code])
    return {f"{stem}.c": source, f"{stem}.h": _HEADER.format(**facts)}


def _facts(prototypes, code):
    """What a header says of whole numbers."""
    whole = any("int32_t" in text for text in prototypes)
    return {"types": "float or int32_t" if whole else "float",
            "include": "\n#include <stdint.h>" if whole else "",
            "about": "\n * What is taken by a number that is outside of a table is NaN."
            if "k_take" in code else ""}


def _numbers(array):
    """The numbers of an array, six a line; 16 of 8 bits."""
    numbers, width = array.ravel().tolist(), 6
    if array.dtype == "int8":
        texts, end, width = list(map(str, numbers)), "", 16
    elif np.isfinite(array).all():
        # A double's 13 digits behind the point, of which a float has the first six
        texts = "\n".join(map(float.hex, numbers)).replace("0000000p", "p").split("\n")
        end = "f"
    else:
        texts, end = [literal(number) for number in numbers], ""
    return "\n".join("    " + f"{end}, ".join(texts[i:i + 6]) + f"{end},"
                     for i in range(0, len(texts), 6))
