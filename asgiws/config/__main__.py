"""`python -m asgiws.config` prints the reference page of all options."""

from __future__ import annotations

from asgiws.config.reference import reference

print(reference(), end="")
