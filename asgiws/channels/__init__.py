"""A channel layer for Django Channels:

    CHANNEL_LAYERS = {"default": {"BACKEND": "asgiws.channels.ChannelLayer"}}

Rules of this file: the public names alone. Only Django imports it.
"""

from asgiws.channels.layer import ChannelLayer

__all__ = ["ChannelLayer"]
