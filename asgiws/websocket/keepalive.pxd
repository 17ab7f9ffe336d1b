# Types of keepalive.py.
cimport cython

cdef int _PING
cdef int _PROBE
cdef int _SILENT
cdef int _OLD
cdef int _IDLE
cdef int _IDLE_PARTS


@cython.final
cdef class Times:
    cdef readonly double age
    cdef readonly double age_jitter
    cdef readonly double idle
    cdef readonly double interval
    cdef readonly double timeout


@cython.final
cdef class KeepAlive:
    cdef double _age_at
    cdef double _idle_at
    cdef int _idle_count
    cdef unsigned int _number
    cdef double _ping_at
    cdef double _pong_at
    cdef Times _times
    cdef public bint active
    cdef public bint heard

    cpdef double next_look(self) except? -1.0
    cpdef bytes payload(self)
    cpdef bint pong(self, bytes payload, double now) except -1
    @cython.locals(todo=int, times=Times)
    cpdef int check(self, double now, bint reading, object takes) except -1
