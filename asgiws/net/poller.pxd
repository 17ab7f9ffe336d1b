# Types of poller.py.
cimport cython
from asgiws.net cimport syscalls


cdef double TURN
cdef int LOOK


cdef class Watched:
    cpdef object ready(self, int events)


cdef class Poller:
    cdef object __weakref__
    cdef object _epoll
    cdef object _loop
    cdef int _fd
    cdef object _own
    cdef list _left
    cdef bint _may_nest
    cdef dict _transports
    cdef long long _turn

    cpdef object call_soon(self, object callback)
    @cython.locals(
        transports=dict, transport=Watched, events=int, told=list, turn="long long", count=Py_ssize_t,
        index=Py_ssize_t, end=double
    )
    cpdef object _look(self)
