"""Rooms to chat in, on Django with Channels.

It shows the usual stack of a Channels project: a consumer that talks through the channel layer,
AuthMiddlewareStack, which gives it the user of the Django session, and an Origin check, without
which any page on the web could talk in a visitor's name. Only who has signed in may join a room.

    asgiws examples.django_chat.asgi:application

There is no database, hence nothing to migrate: a nickname is enough to sign in, sessions are signed
cookies, and the channel layer lives in the memory of one process. With more processes than one, use
channels_redis for the layer and give all of them the same DJANGO_SECRET_KEY.
"""
