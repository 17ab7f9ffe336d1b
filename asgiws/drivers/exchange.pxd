# Types of exchange.py.
cimport cython
from asgiws.bridge.calls cimport begin_row
from asgiws.bridge.exchange cimport Exchange
from asgiws.bridge.wakeup cimport Waiter
from asgiws.common.pieces cimport add as add_piece, join as join_pieces
from asgiws.drivers.carrier cimport Carrier
from asgiws.http.head cimport RequestHead
from asgiws.services.runtime cimport Runtime

cdef int _START
cdef int _BODY
cdef int _FILE
cdef int _TRAILERS
cdef int _DONE
cdef int _LOST
cdef int _SURPLUS


cdef class HTTPExchange(Exchange):
    cdef Carrier _carrier
    cdef bint _disconnected
    cdef bint _ended
    cdef bint _final_taken
    cdef RequestHead _head
    cdef object _hearer
    cdef bint _just_lost
    cdef list _pieces
    cdef Runtime _runtime
    cdef int _stage
    cdef object _task
    cdef bint _told
    cdef object _trailers
    cdef bint _trailers_due
    cdef object _trailers_out
    cdef list _waiters
    cdef readonly Py_ssize_t queued

    cpdef object feed(self, bytes data)
    cpdef object end(self, object trailers)
    cpdef object drop_body(self)
    cpdef object tell(self, bint now)
    cpdef object runs_as(self, object task)
    cpdef object alone(self, bint eof)
    cpdef object found(self)
    cdef object _reap(self)
    cdef bint _is_late(self) except -1
    cdef bint _forget(self) except -1
    cpdef object disconnect(self, bint now)
    @cython.locals(waiter=Waiter, waiters=list)
    cdef object _wake(self, bint now)
    cdef object next_message(self)
    cdef Waiter wait(self)
    cdef object give_up(self, Waiter waiter)
    @cython.locals(pieces=list, message=dict, more=bint)
    cdef object _take_body(self)
    cdef object _start(self, object message)
    @cython.locals(more=bint, carrier=Carrier)
    cdef object _send_body(self, object message)
    @cython.locals(expects_trailers=bint, carrier=Carrier)
    cdef object _body_done(self, bint more)
    cdef object _throw_away(self, object kind, object message)
    cdef object _done(self)
    cdef object begin_send(self, object message)


@cython.locals(plain=dict)
cdef object _get(object message, str key, object default)
