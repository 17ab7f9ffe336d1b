# Types of sending.py.
cimport cython
from asgiws.bridge.outlet cimport Outlet
from asgiws.net cimport syscalls
from asgiws.net.gathering cimport Gathering
from asgiws.net.outbox cimport Outbox

cdef Py_ssize_t JOIN_BELOW
cdef Py_ssize_t _IOV_MAX
cdef int _CLOSING
cdef int _LOST
cdef int _THROUGH
cdef int _BEHIND
cdef int _STRAIGHT


cdef class Sending(Outlet):
    cdef object _drains
    cdef int _fd
    cdef Gathering _gathering
    cdef long long _given
    cdef list _held
    cdef Py_ssize_t _held_size
    cdef bint _own
    cdef double _send_timeout
    cdef int _state
    cdef object _transport
    cdef Outbox _outbox
    cdef object _watch
    cdef int _way
    cdef long long _wrote_in

    cpdef object uncork(self)
    cdef object _flush(self)
    @cython.locals(outbox=Outbox)
    cdef bint _is_first(self) except -1
    cdef object _hold(self, list chunks, Py_ssize_t size)
    @cython.locals(held=list)
    cdef object _send_held(self)
    cdef object _forget_unsent(self)
    @cython.locals(chunk=bytes, sent=Py_ssize_t)
    cdef object _send_many(self, list chunks)
    @cython.locals(sent=Py_ssize_t)
    cdef object _send(self, bytes data)
    @cython.locals(way=int)
    cdef bint _can_send_directly(self) except -1
    cdef object _give_to_transport(self, object data)
    cdef object _waiter(self)
    cdef object _wake_drains(self)
    cpdef object count_sent(self, long long size)
    cdef object _watch_progress(self)
