# Types of poller.py.
cimport cython
from asgiws.net cimport syscalls
from asgiws.net.outbox cimport Outbox


cdef double TURN
cdef double _HOLD
cdef int _ANSWERS


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
    cdef Outbox _outbox
    cdef dict _transports
    cdef long long _turn

    cpdef object call_soon(self, object callback)
    @cython.locals(
        transports=dict, transport=Watched, events=int, told=list, turn="long long", count=Py_ssize_t
    )
    cpdef object _look(self)
    @cython.locals(
        transports=dict, transport=Watched, events=int, outbox=Outbox, index=Py_ssize_t, now=double,
        end=double, due=double
    )
    cdef object _serve(self, list told, Py_ssize_t count, long long turn)
