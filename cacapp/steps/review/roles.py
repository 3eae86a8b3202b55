"""Roles of the review application and their permissions."""

from __future__ import annotations

ROLES = ("viewer", "reviewer", "pathologist", "admin")
OWNER = "owner"
"""Role of the only user of a computer, with all permissions; only ``cacapp review --single-user`` creates it."""

READ, DECIDE, SIGN, AUDIT = "read", "decide", "sign", "audit"
PERMISSIONS = {
    "viewer": {READ},
    "reviewer": {READ, DECIDE},
    "pathologist": {READ, DECIDE, SIGN},
    "admin": {READ, AUDIT},
    OWNER: {READ, DECIDE, SIGN, AUDIT},
}
"""An admin manages accounts and reads the audit trail, but does not decide on cells."""
