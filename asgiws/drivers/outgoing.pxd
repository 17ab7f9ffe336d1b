# Types of outgoing.py.
cimport cython
from asgiws.websocket.connection cimport WebSocketConnection


@cython.locals(plain=dict)
cpdef list frames(WebSocketConnection ws, object message)
cpdef bytes octets_of(object data)
