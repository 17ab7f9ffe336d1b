# Types of connection.py.
cimport cython
from asgiws.bridge.outlet cimport Driver
from asgiws.net cimport syscalls
from asgiws.net.loop_io cimport LoopIO
from asgiws.net.sending cimport Sending
from asgiws.services.runtime cimport Runtime

cdef int _OPEN
cdef int _STOPPING
cdef int _CLOSING
cdef int _LOST
cdef int _THROUGH
cdef int _STRAIGHT
cdef object Ending
cdef object _NOBODY


cdef class Connection(Sending):
    cdef public object bucket
    cdef Driver _driver
    cdef object _ending
    cdef LoopIO _io
    cdef bint _proceeding
    cdef Runtime _runtime
    cdef object _ticker
    cdef dict _tls

    cpdef object attach(self, object transport, int fd, object client, object server, bint secure)
    cpdef object expected(self, object client)
    cpdef object unmade(self)
    cpdef object begun(self)
    cdef object detach(self)
    cdef bytearray buffer(self)
    cpdef object buffer_updated(self, Py_ssize_t nbytes)
    @cython.locals(driver=Driver)
    cdef object arrived(self, Py_ssize_t count)
    cpdef object eof_received(self)
    cpdef object connection_lost(self, object exc)
    cpdef object pause_writing(self)
    cpdef object resume_writing(self)
    cpdef object peer_hung_up(self)
    cpdef object get_buffer(self, object sizehint)
    cdef object _look_for_progress(self, double now)
    cdef double _end_side(self, bint linger) except? -1.0
