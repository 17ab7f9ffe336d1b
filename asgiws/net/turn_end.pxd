# Types of turn_end.py.


cdef class TurnEnd:
    cdef object _call_soon
    cdef object _holders
    cdef bint _is_scheduled
    cdef readonly long long number

    cpdef object wrote(self)
    cpdef object hold(self, object connection)
    cpdef object end(self)
