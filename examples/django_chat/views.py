from django.contrib.auth import authenticate, login
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods


@require_http_methods(["GET", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        user = authenticate(request, nickname=request.POST.get("nickname", ""))
        if user is not None:
            login(request, user)
            return redirect("room", "lobby")
    return render(request, "login.html")


@login_required
def room(request: HttpRequest, name: str) -> HttpResponse:
    return render(request, "room.html", {"room": name, "nickname": request.user.get_username()})
