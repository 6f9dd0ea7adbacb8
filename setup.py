"""Builds the extension nnc._core; everything else about the package stands in pyproject.toml.

The kernels of each instruction set level are a library of their own with their own flags (build_clib), so that no
instruction of a level gets into code that runs on every machine. Files are compiled side by side, and only those
whose source or headers are newer than their object.
"""
import glob
import os
import platform
import re
import sys
import sysconfig
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy
from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

FLAGS = ["-std=gnu11", "-O3", "-g0", "-ffp-contract=off", "-fvisibility=hidden", "-fno-math-errno", "-Wall",
         "-Wextra", "-MMD"]
AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx2", "-mfma", "-mf16c"]
LEVELS = {
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "avx512": AVX512,
    "avx512bf16": [*AVX512, "-mavx512bf16"],
    "amx": [*AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-bf16"],
}
#: Levels that not every compiler knows: without their flags their files are compiled to empty tables.
NEWER = ("avx512bf16", "amx")
LIMITED_API = 0x030B0000
X86 = platform.machine().lower() in ("x86_64", "amd64")


def sources(pattern):
    return sorted(glob.glob(f"csrc/{pattern}.c"))


def version():
    with open("csrc/nnc.h") as file:
        return re.search(r'#define NNC_VERSION "(.*)"', file.read()).group(1)


HEADERS = sorted(path for end in ("h", "inc", "def") for path in glob.glob(f"csrc/**/*.{end}", recursive=True))
COMMON = [path for part in ("core", "kernels", "ops", "passes", "graph", "python") for path in sources(f"{part}/*")
          if not any(f"isa_{level}_" in path for level in LEVELS)]


def up_to_date(target, source):
    """Whether the object is newer than its source and every header that the compiler wrote down."""
    try:
        with open(os.path.splitext(target)[0] + ".d") as file:
            needed = file.read().replace("\\\n", " ").split(":", 1)[1].split()
        built = os.path.getmtime(target)
        return all(os.path.getmtime(path) < built for path in [*needed, source, "setup.py"])
    except (OSError, IndexError):
        return False


def compile_in_parallel(compiler):
    """Makes compiler.compile run its files on all processors."""
    in_turn, one = compiler.compile, compiler._compile

    def compile_one(target, source, *arguments):
        if not up_to_date(target, source):
            one(target, source, *arguments)

    def compile_all(*arguments, **options):
        with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2) as pool:
            running = []
            compiler._compile = lambda *job: running.append(pool.submit(compile_one, *job))
            objects = in_turn(*arguments, **options)
            for job in running:
                job.result()
        return objects
    compiler.compile = compile_all


def knows(compiler, flags):
    """Whether the compiler takes the flags."""
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "empty.c")
        with open(source, "w") as file:
            file.write("int nothing;\n")
        try:
            compiler.compile([source], output_dir=folder, extra_preargs=[*flags, "-Werror"])
        except CompileError:
            return False
    return True


class KeepsObjects:
    """All that is built leaves its objects in one folder, for the next; an editable installation has none otherwise.
    Another compiler, or flags from outside, have a folder of their own."""

    def finalize_options(self):
        super().finalize_options()
        outside = " ".join(os.environ.get(name, "") for name in ("CC", "CFLAGS", "CPPFLAGS")).strip()
        self.build_temp = os.path.join("build", f"temp.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
                                       + (f"-{zlib.crc32(outside.encode()):08x}" if outside else ""))


class BuildLibraries(KeepsObjects, build_clib):
    def build_libraries(self, libraries):
        for name, build in libraries:
            level = name.removeprefix("nnc_")
            if level in NEWER and not knows(self.compiler, LEVELS[level]):
                build["cflags"] = FLAGS
        compile_in_parallel(self.compiler)
        super().build_libraries(libraries)


class BuildExtension(KeepsObjects, build_ext):
    def build_extensions(self):
        compile_in_parallel(self.compiler)
        self.compiler.force = True      # linked anew: the levels' libraries may have changed alone
        super().build_extensions()


def library(level, flags):
    files = sources(f"kernels/isa_{level}_*")
    return f"nnc_{level}", {"sources": files, "include_dirs": ["csrc"], "cflags": FLAGS + flags,
                            "obj_deps": {"": HEADERS}}


setup(
    version=version(),
    libraries=[library(level, flags) for level, flags in LEVELS.items()] if X86 else [],
    ext_modules=[Extension(
        "nnc._core", COMMON, include_dirs=["csrc", numpy.get_include()], depends=HEADERS,
        define_macros=[("Py_LIMITED_API", hex(LIMITED_API))], extra_compile_args=FLAGS,
        extra_link_args=["-pthread"], libraries=["m"], py_limited_api=True)],
    cmdclass={"build_clib": BuildLibraries, "build_ext": BuildExtension},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
