"""A channel layer for Django Channels:

    CHANNEL_LAYERS = {"default": {"BACKEND": "asgiws.channels.ChannelLayer"}}

Rules of this file: the public names alone. Only Django imports it.
"""

from asgiws.channels.layer import ChannelLayer, Unreachable

__all__ = ["ChannelLayer", "Unreachable"]
