"""The record as JSON, for scripts and notebooks: by bearer token, in pages."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["cacapp"])
