"""Users, teams and organisations, who belongs to them, and the commands that change that."""

from __future__ import annotations

from msgspec.structs import replace

from runstone.domain import limits, names, policy
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import Conflict, Exists, Invalid, Missing
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import (
    MEMBERS,
    NAMESPACE_NAMES,
    NAMESPACES,
    PROJECT_NAMES,
    PROJECTS,
    USER_NAMES,
    USER_NAMESPACES,
    USERS,
    Member,
    Namespace,
    User,
)
from runstone.types import MemberInfo, NamespaceInfo, UserInfo

#: The user that owns a store until others are made; its namespace is where names without one live.
OWNER = "local"
BOOTSTRAP_ID = b"runstone-bootstr"


class CreateUser(Command, frozen=True, kw_only=True):
    """Makes a user and its namespace of the same name."""

    name: str
    kind: str = "person"
    admin: bool = False
    email: str = ""
    full_name: str = ""


class UpdateUser(Command, frozen=True, kw_only=True):
    """Changes a user; None leaves a field as it is."""

    name: str
    admin: bool | None = None
    disabled: bool | None = None
    email: str | None = None
    full_name: str | None = None


class CreateNamespace(Command, frozen=True, kw_only=True):
    """Makes a team's or organisation's namespace; ``owner`` becomes its first owner."""

    name: str
    kind: str
    owner: str
    description: str = ""
    region: str = ""
    domain: int = 0


class SetMember(Command, frozen=True, kw_only=True):
    """Gives a user a role in a namespace; ``mask`` 0 means the role's usual field classes."""

    namespace: str
    user: str
    role: str
    mask: int = 0


class RemoveMember(Command, frozen=True, kw_only=True):
    """Takes a user's role in a namespace away."""

    namespace: str
    user: str


@applies(1, "create_user", CreateUser, int)
def _create_user(state: State, at: Stamp, command: CreateUser) -> int:
    if (
        state.get(NAMESPACE_NAMES, command.name) is not None
        or state.get(USER_NAMES, command.name) is not None
    ):
        raise Exists(f"the name {command.name} is taken")
    user = User(
        at.id,
        command.name,
        command.kind,
        at.time,
        command.admin,
        False,
        command.email,
        command.full_name,
        at.id,
    )
    state.put(USERS, at.id, user)
    state.put(USER_NAMES, command.name, at.id)
    state.put(NAMESPACES, at.id, Namespace(at.id, command.name, "user", at.time))
    state.put(NAMESPACE_NAMES, command.name, at.id)
    _join(state, at, at.id, at.id, "owner", 0)
    state.touch(at.id, at.seq, 1)
    return at.id


@applies(2, "update_user", UpdateUser)
def _update_user(state: State, at: Stamp, command: UpdateUser) -> None:
    user = _user(state, command.name)
    changes = {
        field: value
        for field in ("admin", "disabled", "email", "full_name")
        if (value := getattr(command, field)) is not None
    }
    state.put(USERS, user.id, replace(user, **changes))
    state.touch(user.id, at.seq, 2)


@applies(3, "create_namespace", CreateNamespace, int)
def _create_namespace(state: State, at: Stamp, command: CreateNamespace) -> int:
    if state.get(NAMESPACE_NAMES, command.name) is not None:
        raise Exists(f"the name {command.name} is taken")
    owner = _user(state, command.owner)
    namespace = Namespace(
        at.id, command.name, command.kind, at.time, command.description, command.domain, command.region
    )
    state.put(NAMESPACES, at.id, namespace)
    state.put(NAMESPACE_NAMES, command.name, at.id)
    _join(state, at, at.id, owner.id, "owner", 0)
    state.touch(at.id, at.seq, 3)
    return at.id


@applies(4, "set_member", SetMember)
def _set_member(state: State, at: Stamp, command: SetMember) -> None:
    namespace, user = _namespace(state, command.namespace), _user(state, command.user)
    if command.role != "owner":
        _keep_an_owner(state, namespace, user)
    _join(state, at, namespace.id, user.id, command.role, command.mask)
    state.touch(namespace.id, at.seq, 4)


@applies(5, "remove_member", RemoveMember)
def _remove_member(state: State, at: Stamp, command: RemoveMember) -> None:
    namespace, user = _namespace(state, command.namespace), _user(state, command.user)
    if state.get(MEMBERS, namespace.id, user.id) is None:
        raise Missing(f"{command.user} is not a member of {command.namespace}")
    _keep_an_owner(state, namespace, user)
    state.delete(MEMBERS, namespace.id, user.id)
    state.delete(USER_NAMESPACES, user.id, namespace.id)
    state.touch(namespace.id, at.seq, 5)


def _keep_an_owner(state: State, namespace: Namespace, leaving: User) -> None:
    owners = {user for (_, user), member in state.scan(MEMBERS, namespace.id) if member.role == "owner"}
    if owners == {leaving.id}:
        raise Conflict(
            f"{leaving.name} is the last owner of {namespace.name}; make somebody else an owner first"
        )


def _join(state: State, at: Stamp, namespace: int, user: int, role: str, mask: int) -> None:
    state.put(MEMBERS, namespace, user, Member(role, at.time, mask))
    state.put(USER_NAMESPACES, user, namespace, role)


def _user(state: State, name: str) -> User:
    found = state.get(USER_NAMES, name)
    user = state.get(USERS, found) if found is not None else None
    if user is None:
        raise Missing(f"user {name} does not exist")
    return user


def _namespace(state: State, name: str) -> Namespace:
    found = state.get(NAMESPACE_NAMES, name)
    namespace = state.get(NAMESPACES, found) if found is not None else None
    if namespace is None:
        raise Missing(f"namespace {name} does not exist")
    return namespace


def bootstrap(store: Store) -> None:
    """Makes the owner of a new store; a second call, by any process, changes nothing."""
    if store.log.head().size == 0:
        store.log.submit(CreateUser(actor=OWNER, name=OWNER, admin=True), id=BOOTSTRAP_ID)


def create_user(
    store: Store,
    ctx: Context,
    name: str,
    *,
    kind: str = "person",
    admin: bool = False,
    email: str = "",
    full_name: str = "",
) -> UserInfo:
    """Makes a user with a namespace of its own. Only an administrator may."""
    policy.require_admin(ctx, "make users")
    if kind not in ("person", "service"):
        raise Invalid(f"user kind {kind!r} must be person or service")
    command = CreateUser(
        actor=ctx.principal.name,
        reason=ctx.reason,
        name=limits.name(name, "user"),
        kind=kind,
        admin=admin,
        email=limits.text(email, "email", 320),
        full_name=limits.text(full_name, "full name", 256),
    )
    store.submit(ctx, command)
    return get_user(store, ctx, name)


def update_user(
    store: Store,
    ctx: Context,
    name: str,
    *,
    admin: bool | None = None,
    disabled: bool | None = None,
    email: str | None = None,
    full_name: str | None = None,
) -> UserInfo:
    """Changes a user; a disabled one's keys are refused. Only an administrator may."""
    policy.require_admin(ctx, "change users")
    if name == OWNER and (disabled or admin is False):
        raise Invalid(f"{OWNER} owns the store and stays an administrator")
    command = UpdateUser(
        actor=ctx.principal.name,
        reason=ctx.reason,
        name=name,
        admin=admin,
        disabled=disabled,
        email=None if email is None else limits.text(email, "email", 320),
        full_name=None if full_name is None else limits.text(full_name, "full name", 256),
    )
    store.submit(ctx, command)
    return get_user(store, ctx, name)


def get_user(store: Store, ctx: Context, name: str) -> UserInfo:
    """A user by name. Everybody may see a name; only administrators and the user itself see the address."""
    policy.require_principal(ctx)
    with store.index.read() as view:
        return _user_info(ctx, find_user(view, name))


def user_number(store: Store, ctx: Context, name: str) -> int:
    """The number that a user has in the store."""
    policy.require_principal(ctx)
    with store.index.read() as view:
        return find_user(view, name).id


def users(store: Store, ctx: Context, after: str = "", limit: int = 100) -> list[UserInfo]:
    """Users by name, from just past ``after``."""
    policy.require_principal(ctx)
    found: list[UserInfo] = []
    with store.index.read() as view:
        for (name,), _ in view.scan(USER_NAMES, after=(after,) if after else None):
            if len(found) == limit:
                break
            found.append(_user_info(ctx, find_user(view, name)))
    return found


def find_user(view: View, name: str) -> User:
    """The row of a user; raises :class:`Missing`."""
    found = view.get(USER_NAMES, name)
    user = view.get(USERS, found) if found is not None else None
    if user is None:
        raise Missing(f"user {name} does not exist")
    return user


def number_of(store: Store, ctx: Context, name: str) -> int:
    """The id of a user."""
    policy.require_principal(ctx)
    with store.index.read() as view:
        return find_user(view, name).id


def named(store: Store, ctx: Context, user_id: int) -> str:
    """The name of the user with an id."""
    policy.require_principal(ctx)
    with store.index.read() as view:
        user = view.get(USERS, user_id)
    if user is None:
        raise Missing(f"there is no user with id {user_id}")
    return user.name


def create_namespace(
    store: Store, ctx: Context, name: str, *, kind: str = "team", description: str = "", region: str = ""
) -> NamespaceInfo:
    """Makes a team or organisation owned by the principal. Bytes of namespaces in different regions are never shared."""
    policy.require_principal(ctx)
    if kind not in ("team", "organisation"):
        raise Invalid(f"namespace kind {kind!r} must be team or organisation")
    owner = ctx.principal.name if ctx.principal.user else OWNER
    command = CreateNamespace(
        actor=ctx.principal.name,
        reason=ctx.reason,
        name=limits.name(name, "namespace"),
        kind=kind,
        owner=owner,
        description=limits.text(description, "description"),
        region=limits.text(region, "region", 64),
        domain=_domain_of(store, region),
    )
    store.submit(ctx, command)
    return get_namespace(store, ctx, name)


def _domain_of(store: Store, region: str) -> int:
    """The residency domain of a region: 0 for none, else the one its name is already bound to, or the next."""
    if not region:
        return 0
    with store.index.read() as view:
        bound = {namespace.region: namespace.domain for _, namespace in view.scan(NAMESPACES)}
    return bound.get(region) or max(bound.values(), default=0) + 1


def get_namespace(store: Store, ctx: Context, name: str) -> NamespaceInfo:
    """A namespace by name."""
    with store.index.read() as view:
        return _namespace_info(names.find_namespace(store, view, ctx, name))


def namespaces(
    store: Store, ctx: Context, after: str = "", limit: int = 100, *, with_public: bool = False
) -> list[NamespaceInfo]:
    """The namespaces that the principal may read, by name, from just past ``after``.

    With ``with_public`` also those of which it may read a project.
    """
    found: list[NamespaceInfo] = []
    with store.index.read() as view:
        for (_,), held in view.scan(NAMESPACE_NAMES, after=(after,) if after else None):
            namespace = view.get(NAMESPACES, held)
            if len(found) == limit:
                break
            if namespace is None:
                continue
            if store.policy.allows(view, ctx, "read", namespace, None) or (
                with_public and _has_readable_project(store, view, ctx, namespace)
            ):
                found.append(_namespace_info(namespace))
    return found


def _has_readable_project(store: Store, view: View, ctx: Context, namespace: Namespace) -> bool:
    return any(
        (project := view.get(PROJECTS, held)) is not None
        and store.policy.allows(view, ctx, "read", namespace, project)
        for _, held in view.scan(PROJECT_NAMES, namespace.id)
    )


def set_member(
    store: Store, ctx: Context, namespace: str, user: str, role: str, classes: tuple[str, ...] = ()
) -> MemberInfo:
    """Gives a user a role (reader, member or owner) in a namespace. Only its owners may."""
    if role not in policy.ROLES:
        raise Invalid(f"role {role!r} must be one of {', '.join(policy.ROLES)}")
    mask = class_mask(classes)
    with store.index.read() as view:
        names.find_namespace(store, view, ctx, namespace, "admin")
    store.submit(
        ctx,
        SetMember(
            actor=ctx.principal.name, reason=ctx.reason, namespace=namespace, user=user, role=role, mask=mask
        ),
    )
    return next(member for member in members(store, ctx, namespace) if member.user == user)


def remove_member(store: Store, ctx: Context, namespace: str, user: str) -> None:
    """Takes a user's role in a namespace away; the last owner stays. Only its owners may."""
    with store.index.read() as view:
        names.find_namespace(store, view, ctx, namespace, "admin")
    store.submit(
        ctx, RemoveMember(actor=ctx.principal.name, reason=ctx.reason, namespace=namespace, user=user)
    )


def members(store: Store, ctx: Context, namespace: str) -> list[MemberInfo]:
    """Who belongs to a namespace, by name."""
    with store.index.read() as view:
        held = names.find_namespace(store, view, ctx, namespace)
        found = [(view.get(USERS, user), member) for (_, user), member in view.scan(MEMBERS, held.id)]
    infos = [
        MemberInfo(
            user=user.name,
            role=member.role,
            since=member.since,
            classes=class_names(member.mask or policy.DEFAULT_CLASSES[member.role]),
        )
        for user, member in found
        if user is not None
    ]
    return sorted(infos, key=lambda info: info.user)


def class_mask(classes: tuple[str, ...]) -> int:
    """The bit mask of field classes by name; raises :class:`Invalid` for an unknown one."""
    for name in classes:
        if name not in policy.CLASSES:
            raise Invalid(f"field class {name!r} must be one of {', '.join(policy.CLASSES)}")
    return sum(1 << policy.CLASSES.index(name) for name in set(classes))


def class_names(mask: int) -> tuple[str, ...]:
    """The field classes in a bit mask."""
    return tuple(name for bit, name in enumerate(policy.CLASSES) if mask >> bit & 1)


def _user_info(ctx: Context, user: User) -> UserInfo:
    private = ctx.principal.admin or ctx.principal.user == user.id
    return UserInfo(
        name=user.name,
        kind=user.kind,
        admin=user.admin,
        disabled=user.disabled,
        email=user.email if private else "",
        full_name=user.full_name,
        created=user.created,
    )


def _namespace_info(namespace: Namespace) -> NamespaceInfo:
    return NamespaceInfo(
        name=namespace.name,
        kind=namespace.kind,
        description=namespace.description,
        region=namespace.region,
        created=namespace.created,
    )
