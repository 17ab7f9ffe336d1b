# Types of wakeup.py.
cimport cython
from asgiws.bridge cimport steps

cdef int PENDING
cdef int DONE
cdef int CANCELLED
cdef object _WOKEN


@cython.freelist(16)
cdef class Waiter:
    cdef public bint _asyncio_future_blocking
    cdef object _callback
    cdef object _context
    cdef object _loop
    cdef object _message
    cdef int _state

    cpdef bint cancelled(self) noexcept
    cpdef bint done(self) noexcept
    cpdef object wake(self)
    cpdef object wake_soon(self)
    cdef object _schedule(self, object future)
