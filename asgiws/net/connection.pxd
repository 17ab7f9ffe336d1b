# Types of connection.py.
cimport cython
from asgiws.bridge.outlet cimport Driver, Outlet
from asgiws.net cimport syscalls

cdef Py_ssize_t JOIN_BELOW
cdef bint _DIRECT
cdef Py_ssize_t _IOV_MAX


cdef class Connection  # which Gathering refers to


cdef class Gathering:
    cdef list out
    cdef Connection stream


cdef class Connection(Outlet):
    cdef public object bucket
    cdef bint _closing
    cdef bint _corked
    cdef bint _direct
    cdef object _drains
    cdef Driver _driver
    cdef object _ending
    cdef int _fd
    cdef bint _lost
    cdef Py_ssize_t _gathered
    cdef Gathering _gathering
    cdef long long _given
    cdef bint _has_stalled
    cdef bint _own
    cdef object _passing
    cdef bytearray _read_buffer
    cdef bint _proceeding
    cdef object _runtime
    cdef double _send_timeout
    cdef double _stall_at
    cdef bint _stopping
    cdef long long _taken
    cdef object _ticker
    cdef dict _tls
    cdef object _transport
    cdef bint _via_transport

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
    @cython.locals(gathering=Gathering, other=Connection)
    cdef object _cork(self)
    cpdef object uncork(self)
    cdef object _flush(self)
    cdef object _gather(self, Py_ssize_t size)
    cdef object _wake_drains(self)
    cdef object _watch_progress(self)
    cdef object _look_for_progress(self, double now)
    @cython.locals(chunk=bytes, sent=Py_ssize_t)
    cdef object _send_many(self, list chunks)
    @cython.locals(sent=Py_ssize_t)
    cdef object _send(self, bytes data)
    cdef bint _can_send_directly(self) except -1
    cdef object _give_to_transport(self, object data)
