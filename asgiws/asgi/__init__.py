"""The ASGI specification: types, errors, lifespan, the shapes of an application."""
