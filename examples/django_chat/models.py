from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models


class Member(AbstractBaseUser):
    """A user who is nothing but the nickname in his session, and needs no table."""

    nickname = models.CharField(max_length=24, primary_key=True)
    last_login = None  # would be saved at each sign-in

    USERNAME_FIELD = "nickname"

    class Meta:
        managed = False
