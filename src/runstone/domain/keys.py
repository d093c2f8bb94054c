"""API keys: who holds which, and whom a key stands for.

A key is ``hf_`` and 48 of ``[A-Za-z0-9]`` (the one shape that wandb, mlflow, huggingface_hub and llama.cpp all accept). The store keeps
HMAC-SHA256 of it under a secret of its own, so that neither the index nor the log can be turned back into keys.
"""

from __future__ import annotations

import hmac
import re
import secrets
import string
import time
from hashlib import sha256

from msgspec.structs import replace

from runstone.domain import accounts, limits, policy
from runstone.domain.context import LOCAL, Context, Principal
from runstone.domain.store import Store
from runstone.errors import Denied, Invalid, Missing, Unauthenticated
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.state import State
from runstone.storage.tables import KEY_DIGESTS, KEYS, USER_KEYS, USER_NAMES, USERS, Key, User
from runstone.types import KeyInfo, NewKey

SHAPE = re.compile(r"hf_[A-Za-z0-9]{34,253}\Z")
_ALPHABET = string.ascii_letters + string.digits


class CreateKey(Command, frozen=True, kw_only=True):
    """Gives a user a key, known by its digest; ``role`` caps what it may do."""

    user: str
    name: str
    digest: bytes
    hint: str
    expires: int = 0
    role: str = ""


class RevokeKey(Command, frozen=True, kw_only=True):
    """Ends a key."""

    key: int


@applies(6, "create_key", CreateKey, int)
def _create_key(state: State, at: Stamp, command: CreateKey) -> int:
    user = accounts._user(state, command.user)
    key = Key(
        at.id, user.id, command.name, command.digest, command.hint, at.time, command.expires, 0, command.role
    )
    state.put(KEYS, at.id, key)
    state.put(KEY_DIGESTS, command.digest, at.id)
    state.put(USER_KEYS, user.id, at.id, 1)
    state.touch(user.id, at.seq, 6)
    return at.id


@applies(7, "revoke_key", RevokeKey)
def _revoke_key(state: State, at: Stamp, command: RevokeKey) -> None:
    key = state.get(KEYS, command.key)
    if key is None:
        raise Missing(f"there is no key {command.key}")
    if not key.revoked:
        state.put(KEYS, key.id, replace(key, revoked=at.time))
        state.delete(KEY_DIGESTS, key.digest)
        state.touch(key.user, at.seq, 7)


def digest(store: Store, key: str) -> bytes:
    """HMAC-SHA256 of a key under the store's secret."""
    return hmac.digest(store.secret("api-keys", lambda: secrets.token_bytes(32)), key.encode(), sha256)


def create(
    store: Store, ctx: Context, user: str, name: str, *, expires: int = 0, role: str = "", key: str = ""
) -> NewKey:
    """Makes a key for a user: one's own, or anybody's for an administrator. It is shown this once.

    ``expires`` is a time in microseconds (0: never); ``role`` caps what the key may do; ``key`` brings one's own.
    """
    _require_self_or_admin(ctx, user)
    if role and role not in policy.ROLES:
        raise Invalid(f"role {role!r} must be one of {', '.join(policy.ROLES)}")
    key = key or "hf_" + "".join(secrets.choice(_ALPHABET) for _ in range(48))
    if not SHAPE.match(key):
        raise Invalid("a key must be 'hf_' followed by 34 to 253 letters and digits")
    command = CreateKey(
        actor=ctx.principal.name,
        reason=ctx.reason,
        user=user,
        name=limits.text(name, "key name", limits.MAX_NAME),
        digest=digest(store, key),
        hint=key[-4:],
        expires=limits.moment(expires, "expires"),
        role=role,
    )
    made = store.submit(ctx, command).result
    return NewKey(key=key, info=next(info for info in list_keys(store, ctx, user) if info.id == made))


def revoke(store: Store, ctx: Context, key_id: int) -> None:
    """Ends a key at once: one's own, or anybody's for an administrator."""
    with store.index.read() as view:
        key = view.get(KEYS, key_id)
        user = view.get(USERS, key.user) if key else None
    if key is None or user is None:
        raise Missing(f"there is no key {key_id}")
    _require_self_or_admin(ctx, user.name)
    store.submit(ctx, RevokeKey(actor=ctx.principal.name, reason=ctx.reason, key=key_id))


def list_keys(store: Store, ctx: Context, user: str) -> list[KeyInfo]:
    """A user's keys, oldest first, revoked ones included."""
    _require_self_or_admin(ctx, user)
    with store.index.read() as view:
        held = accounts.find_user(view, user)
        keys = [view.get(KEYS, key) for (_, key), _ in view.scan(USER_KEYS, held.id)]
    return [_info(user, key) for key in keys if key is not None]


def authenticate(store: Store, key: str) -> Principal:
    """The principal that a key stands for; raises :class:`Unauthenticated`."""
    return authenticate_until(store, key)[0]


def authenticate_until(store: Store, key: str) -> tuple[Principal, int]:
    """The principal that a key stands for, and the time in microseconds when the key expires (0: never), for caches."""
    return of_number(store, number_of(store, key))


def number_of(store: Store, key: str) -> int:
    """The id of a key that was not revoked; raises :class:`Unauthenticated`."""
    if not SHAPE.match(key):
        raise Unauthenticated("the API key has the wrong shape: it must be 'hf_' and letters and digits")
    with store.index.read() as view:
        held = view.get(KEY_DIGESTS, digest(store, key))
    if held is None:
        raise Unauthenticated("the API key is not known here, or was revoked; ask for a new one")
    return held


def of_number(store: Store, key_id: int) -> tuple[Principal, int]:
    """The principal that the key with an id stands for, as :func:`authenticate_until`; raises :class:`Unauthenticated`."""
    with store.index.read() as view:
        found = view.get(KEYS, key_id)
        user = view.get(USERS, found.user) if found else None
    if found is None or found.revoked or user is None:
        raise Unauthenticated("the API key is not known here, or was revoked; ask for a new one")
    if found.expires and found.expires <= time.time_ns() // 1000:
        raise Unauthenticated("the API key has expired; ask for a new one")
    if user.disabled:
        raise Unauthenticated(f"user {user.name} is disabled; ask an administrator")
    return principal_of(user, found.role), found.expires


def stand_in(store: Store, name: str, role: str = "") -> Principal:
    """The principal of a user whose identity is vouched for otherwise (a signed address, local mode), capped at a role."""
    with store.index.read() as view:
        held = view.get(USER_NAMES, name)
        user = view.get(USERS, held) if held is not None else None
    if user is None or user.disabled:
        raise Unauthenticated(f"user {name} is disabled or unknown; ask an administrator")
    return principal_of(user, role)


def principal_of(user: User, role: str = "") -> Principal:
    """The principal of a user, capped at a role."""
    return Principal(user.name, user.id, user.admin, role)


def anything(store: Store) -> bool:
    """Whether any key was ever made here."""
    with store.index.read() as view:
        return view.count(KEYS) > 0


def _require_self_or_admin(ctx: Context, user: str) -> None:
    if ctx.principal is LOCAL or ctx.principal.admin:
        return
    policy.require_principal(ctx)
    if ctx.principal.name != user or ctx.principal.role == "reader":
        raise Denied(f"{ctx.principal.name} may not see or change the keys of {user}")


def _info(user: str, key: Key) -> KeyInfo:
    return KeyInfo(
        id=key.id,
        user=user,
        name=key.name,
        hint=key.hint,
        role=key.role,
        created=key.created,
        expires=key.expires,
        revoked=key.revoked,
    )
