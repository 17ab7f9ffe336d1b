# Types of poller.py.
cimport cython
from asgiws.server cimport syscalls
from asgiws.server.transport cimport SocketTransport


cdef class Poller:
    cdef object __weakref__
    cdef object _epoll
    cdef object _loop
    cdef int _fd
    cdef dict _transports

    @cython.locals(transports=dict, transport=SocketTransport, events=int)
    cpdef object _look(self)
