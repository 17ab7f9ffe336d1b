from __future__ import annotations

from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest

from .models import Member


class NicknameBackend(BaseBackend):
    """Believe everybody. A real project leaves this out and keeps Django's own backend."""

    def authenticate(self, request: HttpRequest | None, nickname: str = "") -> Member | None:
        return self.get_user(nickname.strip())

    def get_user(self, user_id: str) -> Member | None:
        return Member(nickname=user_id) if 0 < len(user_id) <= 24 else None
