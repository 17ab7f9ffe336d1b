# Types of tasks.py.
cimport cython
from asgiws.asgi cimport steps

cdef int _WAITS
cdef int _YIELDED
cdef int _ENDED
cdef int _RUNS


cdef class Started:
    cdef object _coroutine
    cdef object _error
    cdef int _state
    cdef object _yielded

    @cython.locals(waits=bint)
    cpdef object start(self, object loop, object task, object context)
    cpdef bint has_ended(self) except -1


cpdef object start(object loop, object coroutine, object context)
