# Types of date.py.
cimport cython


cdef class DateCache:
    cdef object _clock
    cdef long long _second
    cdef bytes _value

    @cython.locals(now=double, second=cython.longlong)
    cpdef bytes value(self)
