# Types of message.py.
cimport cython


@cython.final
cdef class Message:
    cdef public object data
    cdef public bint excludes
    cdef public object key
    cdef public long long offset
    cdef public object sender
    cdef public object shared
    cdef public str topic
