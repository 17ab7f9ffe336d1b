# Types of sink.py.
from asgiws.topics.message cimport Message


cdef class Sink:
    cdef public bint is_subscribed
    cdef public object owner
    cdef public Py_ssize_t place
    cdef public str topic

    cpdef object deliver(self, Message message)
    cpdef object flush(self)
    cpdef object lost(self, object count)
    cpdef object rejoined(self, object joined)
