# Types of journal.py.
from asgiws.services.runtime cimport Runtime
from asgiws.websocket.connection cimport WebSocketConnection


cdef class Journal:
    cdef object _client
    cdef bytes _query
    cdef bytes _raw_path
    cdef Runtime _runtime

    cpdef object handshake(self, int status)
    cpdef object end(self, WebSocketConnection ws, object limit)
