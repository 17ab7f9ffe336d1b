# Types of wakeup.py.

cdef int PENDING
cdef int DONE
cdef int CANCELLED


cdef class Waiter:
    cdef public bint _asyncio_future_blocking
    cdef object _callback
    cdef object _context
    cdef object _loop
    cdef object _message
    cdef int _state

    cpdef object wake(self)
    cpdef object wake_soon(self)
    cdef object _schedule(self)
