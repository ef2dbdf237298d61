"""Checks that pydantic makes of dataclasses read from files: no unknown key, no NaN, no infinity."""

from pydantic import ConfigDict

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
