"""Builds the native kernels: ``ext/<kernel>.pyx`` becomes ``runstone._native.<kernel>``.

``RUNSTONE_DEBUG_KERNELS=1`` builds with bounds checks and assertions, for the tests.
"""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("RUNSTONE_DEBUG_KERNELS") == "1"

# What "ingest", "digests" and "frames" are made of.
HASHES = [
    *(
        f"ext/{name}.{end}"
        for name in ("blake3", "cpu", "gear", "md5", "sha256", "xet", "xxh3")
        for end in "ch"
    ),
    *("ext/blake3_lanes.h", "ext/ingest_impl.h"),
]

# Each kernel and the C files and headers beside it, listed by name: sources found by a glob are missing from an sdist.
KERNELS: dict[str, list[str]] = {
    "ingest": ["ext/ingest_impl.c", *HASHES],
    "digests": ["ext/multiset.h", *HASHES],
    "frames": ["ext/frames_impl.c", "ext/frames_impl.h", *HASHES],
    "keys": [],
    "columns": [
        *(f"ext/columns_{name}.c" for name in ("find", "scan", "top")),
        *("ext/columns_impl.h", "ext/cpu.c", "ext/cpu.h"),
    ],
    "pump": [
        *(f"ext/pump_{name}.c" for name in ("cache", "impl", "lane", "load", "send")),
        *(f"ext/pump_{name}.h" for name in ("cache", "impl", "job")),
    ],
    "hotlane": [
        *("ext/hotlane_answers.c", "ext/hotlane_answers.h", "ext/hotlane_impl.c", "ext/hotlane_impl.h"),
        *("ext/blake3.c", "ext/blake3.h", "ext/blake3_lanes.h", "ext/cpu.c", "ext/cpu.h"),
    ],
    "codecs": ["ext/codecs_impl.c", "ext/codecs_impl.h"],
    "points": [
        *(f"ext/points_{name}.{end}" for name in ("format", "lines") for end in "ch"),
        *(f"ext/points_{noun}.pxi" for noun in ("batch", "entries", "lines", "objects", "frames")),
        *(f"ext/points_{noun}.pxi" for noun in ("columns", "decoding", "gathering", "rows", "summaries")),
    ],
    "zoom": ["ext/exactsum.h", "ext/points_format.h"],
}

DIRECTIVES = {
    "language_level": 3,
    "freethreading_compatible": True,
    "embedsignature": True,
    "wraparound": False,
    "boundscheck": DEBUG,
}


def extension(name: str, beside: list[str]) -> Extension:
    source = f"ext/{name}.pyx"
    return Extension(
        f"runstone._native.{name}",
        [source, *(path for path in beside if path.endswith(".c"))],
        depends=[source, *beside],
        include_dirs=["ext"],
        extra_compile_args=["-O1", "-g", "-UNDEBUG"] if DEBUG else ["-O3", "-g0"],
        extra_link_args=["-pthread"],
    )


setup(
    ext_modules=cythonize(
        [extension(name, beside) for name, beside in KERNELS.items()],
        build_dir="build/cython",
        compiler_directives=DIRECTIVES,
    )
)
