# Types of connection.py.
cimport cython
from asgiws.websocket cimport frames, wire
from asgiws.websocket.fanout cimport FanOut
from asgiws.websocket.messages cimport MessageReader

cdef Py_ssize_t _LARGE
cdef Py_ssize_t _LIMIT
cdef Py_ssize_t _ROW
cdef list _TRANSITIONS
cdef int BINARY
cdef int FIN
cdef int RSV1
cdef int TEXT
cdef object Close


@cython.final
cdef class WebSocketConnection:
    cdef public int close_code
    cdef public str close_reason
    cdef readonly long long expected
    cdef readonly int state
    cdef object _deflate
    cdef bint _ended
    cdef FanOut _fanout
    cdef MessageReader _reader

    @cython.locals(transition=tuple)
    cpdef object apply(self, object trigger, object code=*, object reason=*)
    cpdef object feed(self, bytearray data, Py_ssize_t start, Py_ssize_t end)
    cpdef Py_ssize_t unread(self) except -1
    cpdef bint is_behind(self) except -1
    cpdef Py_ssize_t held(self) except -1
    cpdef object next_event(self)
    cpdef object text(self, str text)
    cpdef object binary(self, bytes data)
    cdef list _message(self, int opcode, object message, bytes payload)
    cpdef list shared(self, FanOut fanout)
    @cython.locals(chunks=list, compressed=dict, payload=bytes)
    cdef list _again(self, FanOut fanout, int opcode)


cdef list _frames(int first, bytes payload)
