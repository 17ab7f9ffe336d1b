# Types of transport.py.
cimport cython
from asgiws.net cimport syscalls
from asgiws.net.connection cimport Connection
from asgiws.net.poller cimport Watched

cdef int READS
cdef int _IN
cdef int _OUT
cdef int _RDHUP
cdef int _NOT


cdef class SocketTransport(Watched):
    cdef bint _closing
    cdef Connection _connection
    cdef bint _eof_written
    cdef int _fd
    cdef bint _finished
    cdef bint _has_told
    cdef Py_ssize_t _high
    cdef object _loop
    cdef Py_ssize_t _low
    cdef bint _paused
    cdef object _pending
    cdef object _poller
    cdef Py_ssize_t _size
    cdef int _watched

    cdef object _begin(self)
    cdef object _crash(self, object error)
    cdef object _read(self)
    @cython.locals(buffer=bytearray, count=Py_ssize_t)
    cdef bint _take(self) except -1
    @cython.locals(connection=Connection)
    cdef bint _reads(self) except -1
    cdef Py_ssize_t _room(self) except -1
    cdef object _end_in(self)
    @cython.locals(held="long long")
    cpdef object read_now(self)
    cdef object _end_of_peer(self)
    @cython.locals(events=int, reads=bint, watched=int)
    cdef object _watch(self)
    cdef object _write_out(self)
    cdef object _refill(self)
    cdef object _written_out(self)
    cdef object _end_our_side(self)
    cdef object _leave(self)
    cdef object _pause_if_full(self)
    cpdef object abort(self)
    cpdef object close(self)
    cpdef object write(self, object data)
    cpdef object write_eof(self)
    cpdef object resume_reading(self)
    cdef object _finish(self)
    cpdef object _lose(self)
    cdef object _say_lost(self)
