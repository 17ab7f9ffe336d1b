# Types of tls_transport.py.
cimport cython
from asgiws.net cimport syscalls
from asgiws.tls.records cimport Records
from asgiws.net.transport cimport SocketTransport

cdef int _RECORDS
cdef int _CHUNKS
cdef Py_ssize_t _RECORD

@cython.locals(size=Py_ssize_t, room=Py_ssize_t)
cdef object _next_record(object plain)


cdef class TLSTransport(SocketTransport):
    cdef public object bucket
    cdef object _client
    cdef double _deadline
    cdef long long _encrypted
    cdef long long _given
    cdef object _handshaking
    cdef bint _is_made
    cdef object _plain
    cdef Records _records
    cdef bint _said_close
    cdef object _server

    cdef Py_ssize_t _room(self) except -1
    cdef bint _shake(self) except -1
    cdef object _fail(self, object error)
    @cython.locals(buffer=bytearray, count=Py_ssize_t, records=Records)
    cdef bint _take(self) except -1
    cdef object _advance(self)
    @cython.locals(records=Records, count=Py_ssize_t)
    cdef object _decrypt(self, object data)
    cpdef object resume_reading(self)
    @cython.locals(records=Records)
    cpdef object write(self, object data)
    cpdef object writelines(self, list chunks)
    @cython.locals(chunk=int)
    cdef object _refill(self)
    @cython.locals(records=Records, data=bytes, made=list)
    cdef list _encrypt(self, object plain)
    cdef object _send_made(self)
    @cython.locals(sent=Py_ssize_t)
    cdef bint _send(self, bytes data) except -1
    @cython.locals(sent=Py_ssize_t)
    cdef bint _send_many(self, list pieces) except -1
    cdef object _wait_with(self, object pieces)
    cdef object _end_our_side(self)
    cdef object _leave(self)
    cdef object _say_close(self)
    cpdef object abort(self)
    cdef object _say_lost(self)
