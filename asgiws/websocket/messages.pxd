# Types of messages.py. Positions are Py_ssize_t; a frame's length is int64, checked by the frame reader.
cimport cython
from libc.stdint cimport int64_t
from asgiws.common cimport octets, pieces
from asgiws.websocket cimport wire
from asgiws.websocket.frames cimport FrameReader
from asgiws.common.turn cimport Turn

cdef int NONE
cdef int TRUST
cdef Py_ssize_t _SMALL
cdef Py_ssize_t _SLICE
cdef Py_ssize_t _INFLATE
cdef Py_ssize_t _INFLATED
cdef Py_ssize_t _STEP
cdef Py_ssize_t _GATHER
cdef bytes NO_TARGET
cdef int BINARY
cdef int CLOSE
cdef int CONTINUATION
cdef int PING
cdef int PONG
cdef int TEXT


cdef class Inflated:
    cdef bint final
    cdef Py_ssize_t octets
    cdef list pieces

    cdef object keep(self, bytes piece)


cdef class MessageReader:
    cdef Py_ssize_t _max_size
    cdef Py_ssize_t _max_fragments
    cdef Py_ssize_t _fragments
    cdef object _deflate
    cdef FrameReader _frame
    cdef bytearray _data
    cdef Py_ssize_t _position
    cdef Py_ssize_t _end
    cdef bint _in_frame
    cdef int64_t _remaining
    cdef int _phase
    cdef int _opcode
    cdef bint _compressed
    cdef bytearray _message
    cdef Inflated _inflated
    cdef bytearray _control
    cdef object _utf8
    cdef bytes _target
    cdef Py_ssize_t _filled
    cdef Turn _turn
    cdef Py_ssize_t _work
    cdef bint _gathered
    cdef bytearray _gather
    cdef Py_ssize_t _unchecked
    cdef bint _inflating

    cpdef int feed(self, bytearray data, Py_ssize_t start, Py_ssize_t end) except -1

    cpdef Py_ssize_t unread(self) except -1

    cpdef bint is_behind(self) except -1

    @cython.locals(held=Py_ssize_t)
    cpdef Py_ssize_t held(self) except -1

    cpdef int64_t expected(self) except -1

    @cython.locals(
        frame=FrameReader, take=Py_ssize_t, start=Py_ssize_t, stop=Py_ssize_t, complete=bint, inflated=Inflated
    )
    cpdef object next_event(self)

    cdef bint _is_used_up(self) except -1

    @cython.locals(position=Py_ssize_t)
    cdef bint _read_header(self) except -1

    @cython.locals(position=Py_ssize_t, fragments=Py_ssize_t)
    cdef bint _read_behind(self) except -1

    @cython.locals(frame=FrameReader, held=Py_ssize_t, limit=int64_t)
    cdef int _start_frame(self) except -1

    @cython.locals(payload=bytes)
    cdef object _take_control(self, Py_ssize_t start, Py_ssize_t stop, bint complete)

    @cython.locals(opcode=int)
    cdef object _whole_message(self, Py_ssize_t start, Py_ssize_t stop)

    @cython.locals(message=bytearray, gather=bytearray)
    cdef object _gather_data(self, Py_ssize_t start, Py_ssize_t stop)

    @cython.locals(message=bytearray)
    cdef int _settle(self) except -1

    @cython.locals(gather=bytearray)
    cdef bytes _take_gathered(self)

    @cython.locals(inflated=Inflated, data=bytes, units=Py_ssize_t)
    cdef bint _inflate(self, bytes piece, bint final) except -1

    @cython.locals(frame=FrameReader, message=bytearray, piece=bytes, begin=Py_ssize_t)
    cdef object _take_data(self, Py_ssize_t start, Py_ssize_t stop, bint final)

    @cython.locals(size=Py_ssize_t)
    cdef int _find_target(self, bytearray message, Py_ssize_t length) except -1
    cdef int _fill_target(self, Py_ssize_t start, Py_ssize_t stop, bint final) except -1
    cdef int _validate_plain(self, bytearray data, Py_ssize_t start, Py_ssize_t stop, bint final) except -1
    cdef int _validate(self, bytes piece, bint final) except -1

    @cython.locals(opcode=int, data=bytes)
    cdef object _finished_target(self)

    @cython.locals(opcode=int, message=bytearray, inflated=Inflated, data=bytes)
    cdef object _assembled_message(self)
