# Types of turn_end.py.


cdef class TurnEnd:
    cdef object _call_soon
    cdef object _holders
    cdef bint _is_scheduled
    cdef readonly long long number

    cdef object wrote(self)
    cdef object hold(self, object connection)
    cpdef object end(self)
