# Types of loop_io.py.
from asgiws.net.gathering cimport Gathering
from asgiws.net.outbox cimport Outbox


cdef class LoopIO:
    cdef readonly Gathering gathering
    cdef readonly bytearray read_buffer
    cdef readonly object read_view
    cdef readonly Outbox outbox
