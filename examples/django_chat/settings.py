"""The settings of the example; see the package's docstring for what it leaves out."""

import os

from django.core.management.utils import get_random_secret_key

# Without a key of your own everybody is signed out whenever the server starts.
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or get_random_secret_key()
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]  # as Host, and as Origin of a WebSocket
DEBUG = False
TIME_ZONE = "UTC"  # Django sets it for the whole process, the server's log too

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "examples.django_chat",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "examples.django_chat.urls"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
AUTH_USER_MODEL = "django_chat.Member"
AUTHENTICATION_BACKENDS = ["examples.django_chat.backends.NicknameBackend"]
LOGIN_URL = "login"

CHANNEL_LAYERS = {"default": {"BACKEND": "asgiws.channels.ChannelLayer"}}
