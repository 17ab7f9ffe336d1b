# Types of opening.py.
cimport cython
from asgiws.websocket.handshake cimport Handshake, response


@cython.final
cdef class Opening:
    cdef object _answer
    cdef Handshake _handshake
    cdef readonly object deflate
    cdef public int denial
    cdef public double due
    cdef readonly int outcome
    cdef readonly object scope
    cdef readonly int status

    cpdef object take_scope(self)
    cpdef list refuse(self, object status, str reason)
    cpdef list answer(self, object kind, object message, object compression)
    cdef list _accept(self, object message, object compression)
    cdef list _start_denial(self, object message)
    cdef list _continue_denial(self, object kind, object message)
    cdef object _outcome(self, int outcome, int status)
    cpdef bint is_late(self, double now) except -1
    cpdef bint has_begun(self) except -1
