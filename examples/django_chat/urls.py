from django.urls import path
from django.views.generic import RedirectView

from .consumers import RoomConsumer
from .views import room, sign_in

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="room"), {"name": "lobby"}),
    path("login/", sign_in, name="login"),
    path("rooms/<slug:name>/", room, name="room"),
]

websocket_urlpatterns = [
    path("rooms/<slug:name>/", RoomConsumer.as_asgi()),
]
