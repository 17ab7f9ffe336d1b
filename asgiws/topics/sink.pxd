# Types of sink.py.
from asgiws.topics.message cimport Message


cdef class Sink:
    # The small ones side by side: a subscription takes 16 octets less.
    cdef public bint is_subscribed
    cdef public int place
    cdef public object owner
    cdef public str topic

    cpdef object deliver(self, Message message)
    cpdef object flush(self)
    cpdef object lost(self, object count)
    cpdef object rejoined(self, object joined)
