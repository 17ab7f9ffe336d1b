# Types of reading.py.
cimport cython
from asgiws.bridge.outlet cimport Outlet
from asgiws.drivers.inbox cimport Inbox
from asgiws.websocket.connection cimport WebSocketConnection
from asgiws.websocket.keepalive cimport KeepAlive
from asgiws.common.turn cimport Turn

cdef bytearray _NOTHING
cdef Py_ssize_t _TURN_EVENTS
cdef Py_ssize_t _LEAST_EVENTS
cdef Py_ssize_t _MESSAGES
cdef int OPEN
cdef object MORE


cdef class Kept:
    cdef object ahead
    cdef bytearray data
    cdef Py_ssize_t seen


@cython.final
cdef class Reading:
    cdef Inbox _inbox
    cdef object _journal
    cdef Outlet _outlet
    cdef Turn _turn
    cdef bytes _unanswered
    cdef WebSocketConnection _ws
    cdef readonly KeepAlive keepalive
    cdef readonly Kept kept
    cdef readonly bint overran
    cdef public object client_end

    cpdef object begin(self, Outlet outlet)
    @cython.locals(kept=Kept)
    cpdef object accepted(self, KeepAlive keepalive)
    @cython.locals(keepalive=KeepAlive)
    cpdef object receive(self, bytearray data, Py_ssize_t start, Py_ssize_t end)
    cpdef bint proceed(self) except -1
    cpdef object take_last(self)
    cpdef object drop(self)
    @cython.locals(inbox=Inbox)
    cpdef bint is_full(self) except -1
    @cython.locals(held=Py_ssize_t)
    cpdef Py_ssize_t held(self) except -1
    cpdef object writable(self)
    @cython.locals(ws=WebSocketConnection, inbox=Inbox, keepalive=KeepAlive)
    cdef bint _pump(self, Py_ssize_t budget) except -1
    @cython.locals(kept=Kept)
    cdef object _hold_back(self, bytearray data, Py_ssize_t start, Py_ssize_t end)
    @cython.locals(ws=WebSocketConnection, kept=Kept, size=Py_ssize_t, is_full=bint)
    cdef object _keep(self, bytearray data, Py_ssize_t start, Py_ssize_t end)
    @cython.locals(kept=Kept)
    cdef object _search(self, Py_ssize_t more)
    cdef object _answer_ping(self, bytes payload)
    @cython.locals(keepalive=KeepAlive)
    cdef object _take_pong(self, bytes payload)
    cdef object _pause(self)
