"""Who may do what: the seam where a policy is asked, and the simple rule of roles behind it.

Domain functions ask :func:`require`; handlers never decide. A principal who may not even read a thing is told that it is missing.
"""

from __future__ import annotations

from typing import Literal, Protocol

from runstone.domain.context import Context, Principal
from runstone.errors import Denied, Missing, Unauthenticated
from runstone.storage.index import View
from runstone.storage.tables import ADMISSIONS, GATES, MEMBERS, Namespace, Project

Action = Literal["read", "write", "admin"]
_NEEDED = {"read": 1, "write": 2, "admin": 3}
ROLES = {"reader": 1, "member": 2, "owner": 3}

#: Field classes, as bits of a member's mask; the byte of a field is an index into this list.
CLASSES = ("public", "internal", "confidential", "pii", "phi", "secret")
ALL_CLASSES = (1 << len(CLASSES)) - 1
DEFAULT_CLASSES = {"reader": 0b000011, "member": 0b000111, "owner": ALL_CLASSES}


class Policy(Protocol):
    """Decides. Both calls are pure reads and must be quick."""

    def allows(
        self, view: View, ctx: Context, action: Action, namespace: Namespace, project: Project | None
    ) -> bool:
        """Whether the principal may do ``action`` in the namespace, or in one of its projects."""

    def classes(self, view: View, ctx: Context, namespace: Namespace) -> int:
        """The bit mask of field classes that the principal may read there."""


class RolePolicy:
    """Owners administer, members write, readers read; public projects are readable by every principal.

    A project may give users and teams roles of its own. In a restricted one, only those and the owners of its namespace count.
    """

    def allows(
        self, view: View, ctx: Context, action: Action, namespace: Namespace, project: Project | None
    ) -> bool:
        """See :meth:`Policy.allows`."""
        needed = _NEEDED[action]
        principal = ctx.principal
        if principal.role and ROLES.get(principal.role, 0) < needed:
            return False
        if principal.admin:
            return True
        if action == "read" and project is not None and project.visibility == "public":
            return True
        member = view.get(MEMBERS, namespace.id, principal.user)
        rank = ROLES.get(member.role, 0) if member else 0
        if project is not None and project.visibility == "restricted" and rank < ROLES["owner"]:
            rank = 0
        return rank >= needed or (project is not None and _granted(view, principal, project) >= needed)

    def classes(self, view: View, ctx: Context, namespace: Namespace) -> int:
        """See :meth:`Policy.classes`."""
        if ctx.principal.admin:
            return ALL_CLASSES
        member = view.get(MEMBERS, namespace.id, ctx.principal.user)
        if member is None:
            return 0b000001
        return member.mask or DEFAULT_CLASSES.get(member.role, 0b000001)


def _granted(view: View, principal: Principal, project: Project) -> int:
    """The highest role that a project itself gives a user, or a team that the user belongs to; 0 for none."""
    rank = 0
    for (_, holder), granted in view.scan(MEMBERS, project.id) if principal.user else ():
        if holder == principal.user or view.get(MEMBERS, holder, principal.user) is not None:
            rank = max(rank, ROLES.get(granted.role, 0))
    return rank


def require(
    policy: Policy,
    view: View,
    ctx: Context,
    action: Action,
    namespace: Namespace,
    project: Project | None = None,
) -> None:
    """Raises :class:`Denied`, or :class:`Missing` when the principal may not know of the thing at all."""
    if policy.allows(view, ctx, action, namespace, project):
        return
    what = f"project {namespace.name}/{project.name}" if project else f"namespace {namespace.name}"
    if not policy.allows(view, ctx, "read", namespace, project):
        raise Missing(f"{what} does not exist, or {ctx.principal.name} may not see it")
    raise Denied(f"{ctx.principal.name} may read {what} but not {action} it; ask one of its owners")


def admits(
    policy: Policy, view: View, ctx: Context, namespace: Namespace, project: Project, collection: int
) -> bool:
    """Whether a collection's gate lets the principal in: it has none, or the principal is of the namespace, or was accepted."""
    if view.get(GATES, collection) is None:
        return True
    # A project that everybody may read makes nobody a member.
    if policy.allows(view, ctx, "read", namespace, None) or policy.allows(
        view, ctx, "write", namespace, project
    ):
        return True
    admission = view.get(ADMISSIONS, collection, ctx.principal.user) if ctx.principal.user else None
    return admission is not None and admission.state == "accepted"


def require_admin(ctx: Context, what: str) -> None:
    """Raises :class:`Denied` unless the principal administers the whole store."""
    if not ctx.principal.admin or (ctx.principal.role and ctx.principal.role != "owner"):
        raise Denied(f"{ctx.principal.name} may not {what}: that takes an administrator of the store")


def require_principal(ctx: Context) -> None:
    """Raises :class:`Unauthenticated` for the anonymous principal."""
    if not ctx.principal.admin and not ctx.principal.user:
        raise Unauthenticated("this needs a principal; give an API key")
