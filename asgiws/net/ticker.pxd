# Types of ticker.py.
cimport cython

cdef object ceil
cdef object heappush


cdef class Ticker:
    cdef long long _armed
    cdef dict _buckets
    cdef Py_ssize_t _count
    cdef list _heap
    cdef long long _least
    cdef object _timer

    @cython.locals(number="long long", current="long long", bucket=set)
    cpdef object schedule(self, object entry, double when)
    @cython.locals(bucket=set)
    cpdef object discard(self, object entry)
    @cython.locals(bucket=set)
    cpdef object close(self)
    @cython.locals(number="long long")
    cdef object _arm(self)
