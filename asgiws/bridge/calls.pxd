# Types of calls.py.
cimport cython
from asgiws.bridge.wakeup cimport Waiter

cdef int _FRESH
cdef int _WAITING
cdef int _ENDED
cdef int _GIVES
cdef int _RAISES
cdef int _ROW
cdef int _row

cpdef int begin_row() except -1


@cython.freelist(16)
cdef class Call:
    cdef object _coroutine
    cdef object _message
    cdef object _owner
    cdef int _state
    cdef Waiter _waiter

    cdef object advance(self)
    cdef bint takes(self) except -1
    cdef object abandon(self, Waiter waiter)
    @cython.locals(waiter=Waiter)
    cdef object step(self)
    cdef bint has_ended(self) noexcept
    cdef object _end_row(self)
    cdef object _outcome(self)
    cdef object _send_on(self)
    @cython.locals(waiter=Waiter)
    cdef object _stop(self)

