# Values that are no numbers: MessagePack, in both directions.

cdef object _pack_object = None
cdef object _unpack_object = None


cdef object _decode_object(bytes packed):
    global _unpack_object
    if _unpack_object is None:
        import msgspec

        _unpack_object = msgspec.msgpack.Decoder().decode
    return _unpack_object(packed)


def _from_array(value):
    """What an array or scalar of another library is made of, for the MessagePack encoder."""
    for method in ("item", "tolist"):
        if hasattr(value, method):
            try:
                return getattr(value, method)()
            except (ValueError, RuntimeError, TypeError):
                continue
    raise TypeError(f"a {type(value).__name__} cannot be logged")


cdef bytes _pack(object value, str name):
    global _pack_object
    cdef bytes packed
    if _pack_object is None:
        import msgspec

        _pack_object = msgspec.msgpack.Encoder(enc_hook=_from_array).encode
    try:
        packed = _pack_object(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"{name}: {error}") from None
    if not points_msgpack(<const uint8_t*>PyBytes_AS_STRING(packed), <size_t>PyBytes_GET_SIZE(packed)):
        raise ValueError(f"{name}: a {type(value).__name__} cannot be logged: no times, and maps have text keys")
    return packed
