"""Arrays over mapped bytes. numpy, ml_dtypes and torch are imported when an array is asked for."""

from __future__ import annotations

from typing import Any

from runstone.client.tensors.safetensors import BITS, Tensor
from runstone.errors import Invalid

_NUMPY = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "I16": "<i2", "U16": "<u2", "F16": "<f2", "I32": "<i4", "U32": "<u4", "F32": "<f4",
    "F64": "<f8", "I64": "<i8", "U64": "<u8", "C64": "<c8",
}  # fmt: skip
_ML_DTYPES = {
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}
_TORCH = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "U16": "uint16", "F16": "float16", "BF16": "bfloat16", "I32": "int32",
    "U32": "uint32", "F32": "float32", "F64": "float64", "I64": "int64", "U64": "uint64", "C64": "complex64", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu", "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
}  # fmt: skip


def as_numpy(tensor: Tensor, data: memoryview) -> Any:
    """A numpy array over ``data``, the bytes of a tensor.

    bfloat16 and the 8-bit floats have numpy types if ``ml_dtypes`` is installed; without it, they are unsigned integers of the same width.
    Types of less than a byte are the bytes that hold them, in one dimension.
    """
    import numpy

    kind = _numpy_type(tensor.dtype)
    if kind is None:
        return numpy.frombuffer(data, numpy.uint8)
    return numpy.frombuffer(data, kind).reshape(tensor.shape)


def _numpy_type(name: str) -> Any:
    import numpy

    if name in _NUMPY:
        return numpy.dtype(_NUMPY[name])
    if name not in _ML_DTYPES:
        return None
    try:
        import ml_dtypes
    except ImportError:
        return numpy.dtype(f"<u{BITS[name] // 8}")
    return numpy.dtype(getattr(ml_dtypes, _ML_DTYPES[name]))


def as_torch(tensor: Tensor, data: memoryview) -> Any:
    """A torch tensor over ``data``, the bytes of a tensor in a private mapping: what is written to it stays in this process."""
    try:
        import torch
    except ImportError as error:
        raise Invalid("torch is not installed; load(framework='numpy') needs numpy only") from error
    kind = getattr(torch, _TORCH.get(tensor.dtype, ""), None)
    if kind is None:
        raise Invalid(f"torch {torch.__version__} has no type for {tensor.dtype} ({tensor.name})")
    if not tensor.length:
        return torch.empty(tensor.shape, dtype=kind)
    return torch.frombuffer(data, dtype=kind).reshape(tensor.shape)
