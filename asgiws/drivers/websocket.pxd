# Types of websocket.py.
cimport cython
from asgiws.bridge.calls cimport begin_row
from asgiws.bridge.exchange cimport Exchange
from asgiws.bridge.outlet cimport Driver, Outlet
from asgiws.bridge.wakeup cimport Waiter
from asgiws.drivers.inbox cimport Inbox
from asgiws.drivers.journal cimport Journal
from asgiws.drivers.opening cimport Opening
from asgiws.drivers.outgoing cimport frames
from asgiws.drivers.reading cimport Reading
from asgiws.websocket.connection cimport WebSocketConnection
from asgiws.websocket.keepalive cimport KeepAlive
from asgiws.services.runtime cimport Runtime

cdef Py_ssize_t _UNCOUNTED
cdef int _SEND_CLOSE
cdef int _START_DEADLINE
cdef int _END_TCP
cdef int _DISCONNECT
cdef int CLOSING
cdef int CONNECTING
cdef int OPEN


cdef class WebSocketSession(Driver):
    cdef Runtime _runtime
    cdef Outlet _outlet
    cdef Journal _journal
    cdef WebSocketConnection _ws
    cdef Opening _opening
    cdef Inbox _inbox
    cdef Reading _reading
    cdef object _taking
    cdef object _task
    cdef bint _owes_turn
    cdef double _end_by
    cdef bint _closed_by_app
    cdef object _limit
    cdef Py_ssize_t _counted

    @cython.locals(reading=Reading)
    cpdef object receive_data(self, bytearray data, Py_ssize_t start, Py_ssize_t end)
    @cython.locals(reading=Reading)
    cdef object _deliver(self, bint now)
    cdef object _go_on(self)
    @cython.locals(held=Py_ssize_t)
    cdef object _recount(self)
    cpdef object let_go(self)
    @cython.locals(keepalive=KeepAlive, todo=int)
    cdef double _check_open(self, double now) except? -1.0
    cdef object _act(self, int effect, object code=*, object reason=*)
    @cython.locals(inbox=Inbox)
    cdef object next_message(self)
    @cython.locals(has_room=bint)
    cdef object _took(self, object event)
    @cython.locals(outlet=Outlet)
    cdef object begin_send(self, object message)
    @cython.locals(chunks=list)
    cdef object _write_message(self, object message)


cdef class _Serve(Exchange):
    cdef Inbox _inbox
    cdef object _scope
    cdef WebSocketSession _session

    cdef object next_message(self)
    cdef Waiter wait(self)
    cdef object give_up(self, Waiter waiter)
    cdef object begin_send(self, object message)
