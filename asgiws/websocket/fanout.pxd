# Types of fanout.py.

cdef class FanOut:
    cdef public object message
    cdef public list plain
    cdef public dict compressed

    cpdef object begin(self, object message, list plain)
