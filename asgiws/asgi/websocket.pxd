# Types of websocket.py.
cimport cython
from asgiws.asgi.outlet cimport Driver, Outlet
from asgiws.asgi.wakeup cimport Waiter
from asgiws.websocket.connection cimport WebSocketConnection

cdef int CLOSING
cdef int CONNECTING
cdef int OPEN


cdef class WebSocketSession(Driver):
    cdef object _runtime
    cdef object _loop
    cdef object _scope
    cdef object _handshake
    cdef object _http
    cdef WebSocketConnection _ws
    cdef Outlet _outlet
    cdef object _queue
    cdef Py_ssize_t _queued
    cdef object _waiters
    cdef bint _reading_paused
    cdef bytearray _held
    cdef bint _eof
    cdef bint _owes_turn
    cdef object _terminal
    cdef double _grace_at
    cdef double _close_at
    cdef bint _opened
    cdef bint _app_ended
    cdef bint _closed_by_app
    cdef bint _refused_by_app
    cdef int _denial
    cdef bint _told
    cdef double _ping_interval
    cdef double _ping_timeout
    cdef double _ping_at
    cdef double _pong_at
    cdef unsigned int _pings
    cdef bint _heard
    cdef bytes _unanswered

    cpdef object receive_data(self, bytearray data, Py_ssize_t start, Py_ssize_t end)
    @cython.locals(ws=WebSocketConnection)
    cdef object _pump(self, bytearray data, Py_ssize_t start, Py_ssize_t end)
    cdef object _settle(self)
    cdef object _pause_reading(self)
    cdef object _resume_reading(self)
    cdef object _took(self, object event)
