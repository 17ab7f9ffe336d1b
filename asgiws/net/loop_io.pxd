# Types of loop_io.py.
from asgiws.net.gathering cimport Gathering
from asgiws.net.turn_end cimport TurnEnd


cdef class LoopIO:
    cdef readonly Gathering gathering
    cdef readonly bytearray read_buffer
    cdef readonly object read_view
    cdef readonly TurnEnd turn_end
