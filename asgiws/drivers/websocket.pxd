# Types of websocket.py.
cimport cython
from asgiws.bridge.outlet cimport Outlet
from asgiws.drivers.inbox cimport Inbox
from asgiws.drivers.journal cimport Journal
from asgiws.drivers.opening cimport Opening
from asgiws.drivers.outgoing cimport frames
from asgiws.drivers.reading cimport Reading
from asgiws.drivers.session cimport Serve, Session
from asgiws.drivers.subscriptions cimport Subscriptions
from asgiws.websocket.connection cimport WebSocketConnection
from asgiws.websocket.keepalive cimport KeepAlive
from asgiws.common cimport octets

cdef Py_ssize_t _UNCOUNTED
cdef int _SEND_CLOSE
cdef int _START_DEADLINE
cdef int _END_TCP
cdef int _DISCONNECT
cdef int CLOSING
cdef int CONNECTING
cdef int OPEN


cdef class WebSocketSession(Session):
    cdef Journal _journal
    cdef Opening _opening
    cdef object _taking
    cdef object _task
    cdef bint _owes_turn
    cdef double _end_by
    cdef bint _closed_by_app
    cdef object _limit
    cdef Py_ssize_t _counted
    cdef Subscriptions _topics

    @cython.locals(reading=Reading)
    cpdef object receive_data(self, bytearray data, Py_ssize_t start, Py_ssize_t end)
    @cython.locals(reading=Reading)
    cdef object _deliver(self, bint now)
    cdef object _go_on(self)
    @cython.locals(held=Py_ssize_t)
    cpdef object recount(self)
    cpdef object let_go(self)
    @cython.locals(keepalive=KeepAlive, todo=int)
    cdef double _check_open(self, double now) except? -1.0
    cdef object _act(self, int effect, object code=*, object reason=*)
    @cython.locals(inbox=Inbox)
    cdef object next_message(self)
    @cython.locals(has_room=bint)
    cdef object _took(self, Py_ssize_t size)
    @cython.locals(outlet=Outlet, topics=Subscriptions)
    cdef object begin_send(self, object message)
    @cython.locals(chunks=list)
    cdef object _write_message(self, object message)
    cpdef object ended(self, object error)
    cpdef object end_slow(self, object what, object limit)
    cpdef object close(self, object code, object reason)
