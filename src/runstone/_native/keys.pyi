from collections.abc import Callable
from typing import Any, final

@final
class Packer:
    def __init__(self, sizes: bytes, otherwise: Callable[..., bytes], /) -> None: ...
    def __call__(self, *parts: Any) -> bytes: ...
